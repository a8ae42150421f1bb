/**
 * Auth: users, roles, permissions while it is off and on, and who asks: root, users with few
 * rights, nobody, somebody with a token that nobody gave out.
 */
import type { Prng } from "../../../src/base/prng.ts";
import { type Body, type Call, call, type Step } from "../steps.ts";
import { KEYS } from "./keys.ts";

const USERS = ["root", "alice", "bob"];
const ROLES = ["root", "reader", "writer"];
const PASSWORD = "secret";
const ABSENT = "nobody";
/** Of another password: only members tell each other hashes, clients tell passwords. */
const HASHED = Buffer.from("$2b$04$Rcf8ZPWm3RLXkLdXn1eVeOAcDQhEYbMnyLHLkRjaeZJl0pAlKnoKu").toString(
  "base64",
);

export class UserGenerator {
  readonly #prng: Prng;
  readonly #isOld: boolean;

  constructor(prng: Prng, isOld: boolean) {
    this.#prng = prng;
    this.#isOld = isOld;
  }

  /** Users and roles that mean something, then auth is on, and root has a token. */
  begin(): Step[] {
    const steps: Step[] = [];
    for (const name of USERS) steps.push(call("Auth/UserAdd", { name, password: PASSWORD }));
    for (const name of ROLES) steps.push(call("Auth/RoleAdd", { name }));
    const grants: [string, string][] = [
      ["root", "root"],
      ["alice", "reader"],
      ["alice", "writer"],
      ["bob", "reader"],
    ];
    for (const [user, role] of grants) steps.push(call("Auth/UserGrantRole", { user, role }));
    const readAll = { permType: 0, key: "a", rangeEnd: "c" };
    steps.push(call("Auth/RoleGrantPermission", { name: "reader", perm: readAll }));
    const writeSome = { permType: 2, key: "dir/", rangeEnd: "dir0" };
    steps.push(call("Auth/RoleGrantPermission", { name: "writer", perm: writeSome }));
    steps.push(call("Auth/AuthEnable", {}));
    return [...steps, ...this.#tokens()];
  }

  /** Off again, whoever is left to do it. */
  end(): Step[] {
    return [...this.#tokens(), call("Auth/AuthDisable", {}, { token: "token-root" })];
  }

  next(): Call {
    return this.as(this.#request());
  }

  /** The same, asked by somebody. */
  as(step: Call): Call {
    const roll = this.#prng.below(100);
    if (roll < 6) return step;
    if (roll < 9) return { ...step, metadata: { token: `${"x".repeat(16)}.7` } };
    if (roll < 11) return { ...step, metadata: { authorization: "Bearer nonsense" } };
    const user = roll < 55 ? "root" : this.#prng.pick(USERS);
    return { ...step, token: `token-${user}` };
  }

  /** A simple token ends with a change of its user's password: everybody gets a new one. */
  #tokens(): Call[] {
    return USERS.map((user) => this.#authenticate(user, PASSWORD));
  }

  #authenticate(name: string, password: string): Call {
    return call("Auth/Authenticate", { name, password }, { save: `token-${name}` });
  }

  #request(): Call {
    const user = this.#prng.chance(8) ? this.#prng.pick([ABSENT, ""]) : this.#prng.pick(USERS);
    const role = this.#prng.chance(8) ? this.#prng.pick([ABSENT, ""]) : this.#prng.pick(ROLES);
    const reads: [string, Body][] = [
      ["Auth/UserGet", { name: user }],
      ["Auth/UserList", {}],
      ["Auth/RoleGet", { role }],
      ["Auth/RoleList", {}],
      ...(this.#isOld ? [] : ([["Auth/AuthStatus", {}]] as [string, Body][])),
    ];
    const changes: [string, Body][] = [
      ["Auth/UserAdd", { name: user, password: PASSWORD }],
      ["Auth/UserAdd", { name: user, password: "", options: { noPassword: true } }],
      ["Auth/UserAdd", { name: user }],
      ["Auth/UserAdd", { name: user, hashedPassword: HASHED }],
      ["Auth/UserDelete", { name: user }],
      ["Auth/UserChangePassword", { name: user, password: PASSWORD }],
      ["Auth/UserChangePassword", { name: user, password: PASSWORD, hashedPassword: HASHED }],
      ["Auth/UserGrantRole", { user, role }],
      ["Auth/UserRevokeRole", { name: user, role }],
      ["Auth/RoleAdd", { name: role }],
      ["Auth/RoleDelete", { role }],
      ["Auth/RoleGrantPermission", { name: role, perm: this.#permission() }],
      ["Auth/RoleRevokePermission", this.#revoked(role)],
      ["Auth/AuthEnable", {}],
      ["Auth/AuthDisable", {}],
    ];
    const roll = this.#prng.below(100);
    if (roll < 20) {
      const password = this.#prng.pick([PASSWORD, PASSWORD, PASSWORD, "wrong", ""]);
      return this.#authenticate(user, password);
    }
    const [rpc, body] = this.#prng.pick(roll < 50 ? reads : changes);
    return call(rpc, body);
  }

  #permission(): Body {
    const permType = this.#prng.below(3);
    return { permType, ...this.#range() };
  }

  #revoked(role: string): Body {
    const granted = this.#prng.pick([
      { key: "a", rangeEnd: "c" },
      { key: "dir/", rangeEnd: "dir0" },
      this.#range(),
    ]);
    return { role, ...granted };
  }

  #range(): Body {
    const key = this.#prng.chance(4) ? "" : this.#prng.pick(KEYS);
    if (this.#prng.chance(40)) return { key };
    return { key, rangeEnd: this.#prng.pick(["\0", "b", "dir0", "\xff"]) };
  }
}
