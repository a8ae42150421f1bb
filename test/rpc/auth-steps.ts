/** Sequences of calls about users and by users: one tells a story, others come by chance. */
import type { Prng } from "../../src/base/prng.ts";
import { PASSWORDS, type Step } from "./auth-session.ts";

const key = (text: string): Buffer => Buffer.from(text, "latin1");

/** An end that is not there is left out: etcd 3.4 takes one that is empty for "no end". */
function range(from: string, to: string): { readonly key: Buffer; readonly rangeEnd?: Buffer } {
  return to === "" ? { key: key(from) } : { key: key(from), rangeEnd: key(to) };
}

/** One range for each first key: what etcd does with two of the same first key is its own story. */
export const RANGES = [
  ["a", ""],
  ["b", "d"],
  ["c", ""],
  ["d", "f"],
  ["f", "g"],
  ["g", "\0"],
  ["\0", "\0"],
  ["e", "b"],
  ["", ""],
] as const;

/** None without keys: whether they are allowed depends on how etcd's tree grew. */
const READS = [
  ...RANGES.filter(([from, to]) => to === "" || to === "\0" || from < to),
  ...([
    ["a", "c"],
    ["b", "e"],
    ["a", "\0"],
    ["bb", "c"],
    ["b", "b\0"],
  ] as const),
];
const KEYS = ["a", "b", "c", "cc", "d", "e", "f", "g", "h"] as const;
const USERS = ["root", "u1", "u2", "ü3", ""] as const;
const ROLES = ["root", "r1", "r2", "ß3", ""] as const;
const PERMISSIONS = ["READ", "WRITE", "READWRITE"] as const;
const LEASES = [0, 0, 0, 11, 12, 13] as const;

export class AuthSteps {
  readonly #prng: Prng;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  /** Users and roles to begin with, and auth switched on. */
  static beginning(): Step[] {
    const role = (name: string, type: string, from: string, to: string): Step[] => [
      { rpc: "Auth/RoleAdd", request: { name } },
      {
        rpc: "Auth/RoleGrantPermission",
        request: { name, perm: { permType: type, ...range(from, to) } },
      },
    ];
    return [
      { rpc: "Auth/AuthEnable" },
      { rpc: "Auth/UserAdd", request: { name: "root", password: "first" } },
      { rpc: "Auth/AuthEnable" },
      { rpc: "Auth/UserGrantRole", request: { user: "root", role: "root" } },
      { rpc: "Auth/UserAdd", request: { name: "u1", password: "first" } },
      { rpc: "Auth/UserAdd", request: { name: "u2", password: "second" } },
      ...role("r1", "READWRITE", "b", "d"),
      ...role("r2", "READ", "d", "f"),
      { rpc: "Auth/UserGrantRole", request: { user: "u1", role: "r1" } },
      { rpc: "Auth/UserGrantRole", request: { user: "u1", role: "r2" } },
      { rpc: "Auth/UserGrantRole", request: { user: "u2", role: "r2" } },
      { rpc: "Auth/AuthEnable" },
    ];
  }

  /** Rules that etcd has kept since 3.4, each met and each broken once; after beginning(). */
  static story(): Step[] {
    const put = (as: string, name: string, more: object = {}): Step => {
      return { as, rpc: "KV/Put", request: { key: key(name), value: key("v"), ...more } };
    };
    const get = (as: string, from: string, to = ""): Step => {
      return { as, rpc: "KV/Range", request: range(from, to) };
    };
    const root = (rpc: string, request: object): Step => ({ as: "root", rpc, request });
    const perm = { permType: "READ", key: key("x"), rangeEnd: key("z") };
    return [
      ...[put("u1", "b"), put("u1", "a"), put("u1", "e"), put("u2", "b"), get("u1", "b", "f")],
      ...[get("u1", "b", "g"), get("u2", "b"), get("u2", "d", "e"), get("root", "\0", "\0")],
      ...[put("u1", "b", { prevKv: true }), { rpc: "KV/Put", request: { key: key("b") } }],
      { as: { token: "bad" }, rpc: "KV/Range", request: { key: key("b") } },
      { rpc: "KV/Put", request: {} }, // wrong, whoever asks
      { as: "u1", rpc: "KV/DeleteRange", request: range("b", "d") },
      { as: "u1", rpc: "KV/DeleteRange", request: range("b", "e") },
      { as: "u1", rpc: "KV/DeleteRange", request: { ...range("d", "f"), prevKv: true } },
      root("Auth/RoleGrantPermission", { name: "r2", perm }),
      ...[get("u2", "y"), get("u2", "z"), get("u2", "x", "z")],
      root("Auth/RoleRevokePermission", { role: "r2", key: key("x"), rangeEnd: key("y") }),
      root("Auth/RoleRevokePermission", { role: "r2", key: key("x"), rangeEnd: key("z") }),
      ...[get("u2", "y"), root("Auth/RoleGet", { role: "r2" })],
      { as: "u2", rpc: "Auth/RoleGet", request: { role: "r2" } },
      { as: "u2", rpc: "Auth/RoleGet", request: { role: "r1" } },
      { as: "u2", rpc: "Auth/UserGet", request: { name: "u2" } },
      { as: "u2", rpc: "Auth/UserGet", request: { name: "u1" } },
      { as: "u2", rpc: "Auth/UserList" },
      { as: "u2", rpc: "Auth/UserAdd", request: { name: "u4", password: "first" } },
      root("Auth/UserList", {}),
      root("Auth/RoleList", {}),
      root("Auth/UserAdd", { name: "u1", password: "first" }),
      root("Auth/UserAdd", { name: "", password: "first" }),
      root("Auth/UserGrantRole", { user: "u2", role: "none" }),
      root("Auth/UserGrantRole", { user: "none", role: "r1" }),
      root("Auth/UserGrantRole", { user: "u2", role: "r2" }), // he has it
      root("Auth/UserRevokeRole", { name: "u2", role: "r1" }),
      root("Auth/UserRevokeRole", { name: "root", role: "root" }),
      root("Auth/UserDelete", { name: "root" }),
      root("Auth/RoleDelete", { role: "root" }),
      root("Auth/RoleAdd", { name: "r1" }),
      root("Auth/RoleAdd", { name: "" }),
      root("Auth/RoleDelete", { role: "none" }),
      root("Auth/UserChangePassword", { name: "none", password: "first" }),
      root("Auth/UserChangePassword", { name: "u2", password: "first" }),
      get("u2", "d"), // his token is void
      get("u2", "d"),
      { rpc: "Auth/Authenticate", request: { name: "u2", password: "second" } },
      { rpc: "Auth/Authenticate", request: { name: "none", password: "second" } },
      root("Auth/UserDelete", { name: "u2" }),
      get("u2", "d"),
      root("Auth/RoleDelete", { role: "r2" }),
      root("Auth/UserGet", { name: "u1" }),
      get("u1", "d"),
      root("Auth/AuthEnable", {}),
      root("Auth/AuthDisable", {}),
      { rpc: "KV/Range", request: range("\0", "\0") },
      { rpc: "Auth/Authenticate", request: { name: "u1", password: "first" } },
      { rpc: "Auth/UserDelete", request: { name: "root" } },
      { rpc: "Auth/AuthEnable" },
    ];
  }

  /** Locks and elections are operations on keys; after beginning(). */
  static coordination(): Step[] {
    const lock = (as: string | undefined, name: string): Step => ({
      ...(as === undefined ? {} : { as }),
      rpc: "v3lockpb.Lock/Lock",
      request: { name: key(name), lease: 11 },
    });
    const campaign = (as: string, name: string): Step => {
      const request = { name: key(name), lease: 11, value: key("v") };
      return { as, rpc: "v3electionpb.Election/Campaign", request };
    };
    const leader = (as: string, name: string): Step => {
      return { as, rpc: "v3electionpb.Election/Leader", request: { name: key(name) } };
    };
    return [
      { as: "u1", rpc: "Lease/LeaseGrant", request: { ID: 11, TTL: 500 } },
      ...[lock("u1", "b"), lock("u2", "b"), lock("u1", "x"), lock(undefined, "b")],
      { ...lock("u1", "b"), as: { token: "bad" } },
      { as: "u2", rpc: "v3lockpb.Lock/Unlock", request: { key: key("b/b") } },
      { as: "u1", rpc: "v3lockpb.Lock/Unlock", request: { key: key("b/b") } },
      ...[campaign("u1", "c"), campaign("u2", "c"), campaign("u1", "z")],
      ...[leader("u1", "c"), leader("u2", "c"), leader("u1", "z"), leader("root", "c")],
    ];
  }

  next(): Step {
    const prng = this.#prng;
    const as = prng.chance(92) ? this.#of(["root", "root", "u1", "u1", "u2", "ü3"]) : undefined;
    if (prng.chance(2)) return { ...this.#call(), as: { token: this.#of(["", "bad", "a.1"]) } };
    return as === undefined ? this.#call() : { ...this.#call(), as };
  }

  #call(): Step {
    const below = this.#prng.below(100);
    if (below < 35) return this.#management();
    if (below < 40) return this.#question();
    if (below < 85) return this.#data();
    return this.#other();
  }

  #management(): Step {
    const name = this.#of(USERS);
    const role = this.#of(ROLES);
    const [from, to] = this.#of(RANGES);
    const perm = { permType: this.#of(PERMISSIONS), ...range(from, to) };
    const password = this.#of(PASSWORDS);
    const options = this.#prng.chance(20) ? { options: { noPassword: true } } : {};
    return this.#of<Step>([
      { rpc: "Auth/UserAdd", request: { name, password, ...options } },
      { rpc: "Auth/UserDelete", request: { name: this.#of(["u2", "ü3", "", "root"]) } },
      {
        rpc: "Auth/UserChangePassword",
        request: { name, password: this.#of(["first", "second"]) },
      },
      { rpc: "Auth/UserGrantRole", request: { user: name, role } },
      { rpc: "Auth/UserGrantRole", request: { user: name, role } },
      { rpc: "Auth/UserRevokeRole", request: { name, role } },
      { rpc: "Auth/RoleAdd", request: { name: role } },
      { rpc: "Auth/RoleDelete", request: { role } },
      { rpc: "Auth/RoleGrantPermission", request: { name: role, perm } },
      { rpc: "Auth/RoleGrantPermission", request: { name: role, perm } },
      { rpc: "Auth/RoleGrantPermission", request: { name: role } },
      { rpc: "Auth/RoleRevokePermission", request: { role, ...range(from, to) } },
      { rpc: this.#prng.chance(10) ? "Auth/AuthDisable" : "Auth/AuthEnable" },
    ]);
  }

  #question(): Step {
    return this.#of<Step>([
      { rpc: "Auth/UserGet", request: { name: this.#of(["root", "u1", "u2", "ü3"]) } },
      { rpc: "Auth/RoleGet", request: { role: this.#of(ROLES) } },
      { rpc: "Auth/UserList" },
      { rpc: "Auth/RoleList" },
      { rpc: "Auth/Authenticate", request: { name: this.#of(USERS), password: "second" } },
    ]);
  }

  #data(): Step {
    return this.#of<Step>([
      { rpc: "KV/Range", request: this.#range() },
      { rpc: "KV/Put", request: this.#put() },
      { rpc: "KV/DeleteRange", request: this.#delete() },
      { rpc: "KV/Txn", request: this.#txn(2) },
      { rpc: "Watch/Watch", request: { createRequest: this.#watch() } },
    ]);
  }

  #other(): Step {
    const ID = this.#of(LEASES);
    return this.#of<Step>([
      { rpc: "Lease/LeaseGrant", request: { ID: this.#of([11, 12, 13]), TTL: 5000 } },
      { rpc: "Lease/LeaseGrant", request: { ID: this.#of([11, 12, 13]), TTL: 5000 } },
      { rpc: "Lease/LeaseRevoke", request: { ID } },
      { rpc: "Lease/LeaseTimeToLive", request: { ID, keys: this.#prng.chance(70) } },
      { rpc: "Lease/LeaseLeases" },
      { rpc: "Lease/LeaseKeepAlive", request: { ID } },
      { rpc: "KV/Compact", request: { revision: this.#prng.below(4) } },
      { rpc: "Auth/AuthStatus" },
      { rpc: "Cluster/MemberList" },
      { rpc: "Cluster/MemberRemove", request: { ID: 5 } },
      { rpc: "Maintenance/Status" },
      { rpc: "Maintenance/Alarm", request: { action: this.#of(["GET", "DEACTIVATE"]) } },
      { rpc: "Maintenance/HashKV" },
    ]);
  }

  #range(): object {
    const [from, to] = this.#of(READS);
    return { ...range(from, to), serializable: this.#prng.chance(30) };
  }

  #put(): object {
    const value = key(`v${this.#prng.below(9)}`);
    const prevKv = this.#prng.chance(40);
    return { key: key(this.#of(KEYS)), value, prevKv, lease: this.#of(LEASES) };
  }

  #delete(): object {
    const [from, to] = this.#of(READS);
    return { ...range(from, to), prevKv: this.#prng.chance(40) };
  }

  #watch(): object {
    const [from, to] = this.#of(READS);
    return { ...range(from, to), startRevision: this.#prng.below(3) - 1 };
  }

  /** Keys of its own in each operation, so that none is refused as a duplicate too often. */
  #txn(depth: number): object {
    const some = (): object[] => Array.from({ length: this.#prng.below(3) }, () => this.#op(depth));
    const [from, to] = this.#of(READS);
    const compare = { ...range(from, to), target: "VERSION", version: 0 };
    return {
      compare: [compare], // without anything to check, etcd lets nobody in particular pass
      success: some(),
      failure: some(),
    };
  }

  #op(depth: number): object {
    return this.#of<object>([
      { requestRange: this.#range() },
      { requestPut: this.#put() },
      { requestDeleteRange: this.#delete() },
      depth > 0 ? { requestTxn: this.#txn(depth - 1) } : { requestRange: this.#range() },
    ]);
  }

  #of<T>(values: readonly T[]): T {
    return values[this.#prng.below(values.length)] as T;
  }
}
