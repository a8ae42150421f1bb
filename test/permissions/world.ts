/** Users, roles and keys of one run, at a server and in the filter alike. */
import type { Prng } from "../../src/base/prng.ts";
import { Clerk } from "./clerk.ts";
import { ALL_KEYS, Filter, type Key, keysOf, markedValue, type Permission } from "./filter.ts";
import { Requests, wire } from "./requests.ts";

/** Somebody with the role root, people with others, one who shows nothing, one who lies. */
export const USERS = ["ann", "bob", "cyd", "dan"] as const;
export const STRANGERS = ["nobody", "forger"] as const;
const ROLES = ["r1", "r2", "r3", "r4"] as const;
const PERMISSIONS: readonly Permission[] = ["READ", "READ", "WRITE", "READWRITE"];
const LEASES = ["11", "12", "13"] as const;
const PASSWORD = "secret";
const KEYS_PUT = 60;

const AUTH = "etcdserverpb.Auth";

export class World {
  readonly clerk: Clerk;
  readonly filter = new Filter();
  readonly requests: Requests;
  readonly #prng: Prng;
  /** What the store holds: key to the revision of its last change. */
  #held: ReadonlyMap<Key, string> = new Map();

  constructor(endpoint: string, prng: Prng) {
    this.clerk = new Clerk(endpoint);
    this.#prng = prng;
    this.requests = new Requests(prng);
  }

  /** Makes everybody and switches auth on. */
  async found(): Promise<void> {
    for (const name of ["root", ...USERS]) {
      await this.#must(`${AUTH}/UserAdd`, { name, password: PASSWORD });
    }
    await this.#must(`${AUTH}/UserGrantRole`, { user: "root", role: "root" });
    for (const name of ROLES) await this.#must(`${AUTH}/RoleAdd`, { name });
    await this.#must(`${AUTH}/AuthEnable`, {});
    for (const name of ["root", ...USERS]) await this.clerk.logIn(name, PASSWORD);
    this.clerk.forge("forger", "aaaaaaaaaaaaaaaa.3");
  }

  /** New rights for everybody, new keys and leases for the next requests. */
  async reshuffle(): Promise<void> {
    this.requests.home = [];
    for (const role of ROLES) await this.#regrant(role);
    for (const user of USERS) await this.#reassign(user);
    const dead = LEASES.filter((id) => !this.requests.leases.has(id));
    for (const ID of dead) await this.#must("etcdserverpb.Lease/LeaseGrant", { ID, TTL: "3600" });
    for (let i = 0; i < KEYS_PUT; i++) {
      const key = this.requests.key();
      const lease = this.#prng.chance(20) ? this.#pick(LEASES) : "0";
      const request = { key: Buffer.from(key, "latin1"), value: markedValue(key), lease };
      await this.#must("etcdserverpb.KV/Put", request);
    }
    await this.changedKeys();
  }

  /** Keys that are others than when this was asked last. */
  async changedKeys(): Promise<Key[]> {
    const all = wire({ key: "\0", rangeEnd: "\0" });
    const { body } = await this.#must("etcdserverpb.KV/Range", all);
    const held = new Map(body.kvs.map((kv) => [kv.key.toString("latin1"), kv.modRevision]));
    const before = this.#held;
    this.#held = held;
    this.requests.revision = Number(body.header.revision);
    this.requests.leases = await this.#hanging();
    return ALL_KEYS.filter((key) => held.get(key) !== before.get(key));
  }

  /** What the filter lets somebody see. */
  readable(user: string): ReadonlySet<Key> {
    return new Set(ALL_KEYS.filter((key) => this.filter.permits(user, "READ", key)));
  }

  async #hanging(): Promise<Map<string, Key[]>> {
    const hanging = new Map<string, Key[]>();
    for (const ID of LEASES) {
      const request = { ID, keys: true };
      const { body } = await this.#must("etcdserverpb.Lease/LeaseTimeToLive", request);
      if (body.TTL !== "-1")
        hanging.set(
          ID,
          body.keys.map((key) => key.toString("latin1")),
        );
    }
    return hanging;
  }

  async #regrant(role: string): Promise<void> {
    for (const range of this.filter.grantsOf(role)) {
      if (this.#prng.chance(50)) continue;
      await this.#must(`${AUTH}/RoleRevokePermission`, { role, ...wire(range) });
      this.filter.revoke(role, range);
    }
    for (let i = this.#prng.below(3); i >= 0; i--) {
      const range = this.requests.range();
      const isRange =
        range.rangeEnd === "" || range.rangeEnd === "\0" || range.key < range.rangeEnd;
      if (!isRange || keysOf(range).length > ALL_KEYS.length / 2) continue; // leaves something
      const permission = this.#pick(PERMISSIONS);
      const perm = { permType: permission, ...wire(range) };
      await this.#must(`${AUTH}/RoleGrantPermission`, { name: role, perm });
      this.filter.grant(role, permission, range);
    }
  }

  async #reassign(user: string): Promise<void> {
    for (const role of ROLES) {
      const has = this.filter.rolesOf(user).includes(role);
      if (!this.#prng.chance(40)) continue;
      if (has) {
        await this.#must(`${AUTH}/UserRevokeRole`, { name: user, role });
        this.filter.take(user, role);
      } else {
        await this.#must(`${AUTH}/UserGrantRole`, { user, role });
        this.filter.give(user, role);
      }
    }
  }

  #must(name: string, request: object): ReturnType<Clerk["must"]> {
    return this.clerk.must("root", name, request);
  }

  #pick<T>(all: readonly T[]): T {
    return all[this.#prng.below(all.length)] as T;
  }
}
