/**
 * The way into a cluster that runs: leases, keys and auth are written to it as a client would, and
 * what changes meanwhile is followed. It cannot keep revisions (the new cluster counts its own),
 * versions and history, nor passwords, which no API tells.
 */
import type { EtcdClient } from "../../../client/etcd-client.ts";
import {
  Auth,
  DeleteRangeRequest,
  KV,
  Lease,
  PutRequest,
  RequestOp,
} from "../../../proto/gen/etcdserverpb.ts";
import { EventType, type KeyValue } from "../../../proto/gen/mvccpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import type { Invocation } from "../invocation.ts";
import { ALL_KEYS, countKeys, fromSource, type Source } from "./source.ts";

/** Keys of a page; and of a transaction, as etcd's --max-txn-ops has it by default. */
const PAGE_KEYS = 500;
const TXN_OPS = 128;
/** Bytes of a transaction: below etcd's --max-request-bytes with room for the rest. */
const TXN_BYTES = 1_000_000;

export interface LiveCopied {
  readonly keys: number;
  readonly leases: number;
  readonly users: readonly string[];
  readonly roles: number;
}

/** Copies all of `source` into the empty cluster of `target`. Rejects with ExitError. */
export async function migrateLive(
  call: Invocation,
  source: Source,
  target: EtcdClient,
): Promise<LiveCopied> {
  await requireEmpty(call, target);
  const copy = new LiveCopy(call, source, target);
  return await copy.run();
}

async function requireEmpty(call: Invocation, target: EtcdClient): Promise<void> {
  const { keys } = await countKeys(call, target, 0);
  const { leases } = await call.call(Lease.LeaseLeases, {}, target);
  const { users } = await call.call(Auth.UserList, {}, target);
  if (keys + leases.length + users.length === 0) return;
  const has = `it has ${keys} keys, ${leases.length} leases and ${users.length} users`;
  throw new ExitError(
    EXIT.FAILED,
    `the cluster to copy into is not empty: ${has}; nothing was done`,
  );
}

class LiveCopy {
  readonly #call: Invocation;
  readonly #source: Source;
  readonly #target: EtcdClient;
  readonly #leases = new Set<bigint>();

  constructor(call: Invocation, source: Source, target: EtcdClient) {
    this.#call = call;
    this.#source = source;
    this.#target = target;
  }

  async run(): Promise<LiveCopied> {
    const revision = await this.#copyKeys();
    await this.#follow(revision);
    const roles = await this.#copyRoles();
    const users = await this.#copyUsers();
    const keys = await this.#verify();
    return { keys, leases: this.#leases.size, users, roles };
  }

  #tell(text: string): void {
    this.#call.io.err(`migrate: ${text}\n`);
  }

  /** All keys at one revision, in order; that revision. */
  async #copyKeys(): Promise<number> {
    const { client, endpoint } = this.#source;
    let key = "\0";
    let revision = 0;
    let copied = 0;
    for (let more = true; more; ) {
      const request = { key, rangeEnd: "\0", limit: PAGE_KEYS, revision };
      const page = await fromSource(endpoint, () => this.#call.call(KV.Range, request, client));
      revision ||= page.header?.revision ?? 0;
      await this.#put(page.kvs);
      copied += page.kvs.length;
      more = page.more;
      key = `${page.kvs.at(-1)?.key ?? ""}\0`;
      this.#tell(`${copied} keys of revision ${revision}`);
    }
    return revision;
  }

  async #put(kvs: readonly KeyValue[]): Promise<void> {
    let ops: RequestOp[] = [];
    let bytes = 0;
    for (const { key, value, lease } of kvs) {
      if (lease !== 0n) await this.#grant(lease);
      const size = key.length + value.length;
      if (ops.length === TXN_OPS || (ops.length > 0 && bytes + size > TXN_BYTES)) {
        await this.#commit(ops);
        ops = [];
        bytes = 0;
      }
      ops.push(putOp(key, value, this.#leases.has(lease) ? lease : 0n));
      bytes += size;
    }
    if (ops.length > 0) await this.#commit(ops);
  }

  async #commit(success: RequestOp[]): Promise<void> {
    await this.#call.call(KV.Txn, { compare: [], success, failure: [] }, this.#target);
  }

  /** The same id, with its whole time again. One that has ended meanwhile is not made. */
  async #grant(ID: bigint): Promise<void> {
    if (this.#leases.has(ID)) return;
    const { client, endpoint } = this.#source;
    const ask = (): Promise<{ readonly grantedTTL: number; readonly TTL: number }> =>
      this.#call.call(Lease.LeaseTimeToLive, { ID, keys: false }, client);
    const { grantedTTL, TTL } = await fromSource(endpoint, ask);
    if (TTL <= 0) return;
    await this.#call.call(Lease.LeaseGrant, { ID, TTL: grantedTTL }, this.#target);
    this.#leases.add(ID);
  }

  /** What changed since `revision`, one transaction a revision, until nothing more has. */
  async #follow(revision: number): Promise<void> {
    const { client, endpoint } = this.#source;
    const { revision: current } = await fromSource(endpoint, () =>
      countKeys(this.#call, client, 0),
    );
    if (current <= revision) return;
    this.#tell(`following from revision ${revision + 1} to ${current}`);
    const watch = client.watch({ ...ALL_KEYS, startRevision: revision + 1, progressNotify: true });
    let reached = revision;
    await fromSource(endpoint, async () => {
      for await (const batch of watch) {
        const byRevision = Map.groupBy(batch.events, ({ kv }) => kv?.modRevision ?? 0);
        for (const [at, events] of byRevision) {
          const ops: RequestOp[] = [];
          for (const { type, kv } of events) {
            if (kv === undefined) continue;
            if (kv.lease !== 0n) await this.#grant(kv.lease);
            const lease = this.#leases.has(kv.lease) ? kv.lease : 0n;
            ops.push(type === EventType.DELETE ? deleteOp(kv.key) : putOp(kv.key, kv.value, lease));
          }
          await this.#commit(ops);
          reached = at;
        }
        if (reached >= current) break;
      }
    });
    await this.#follow(reached);
  }

  async #copyRoles(): Promise<number> {
    const { client, endpoint } = this.#source;
    const ask = <T>(work: () => Promise<T>): Promise<T> => fromSource(endpoint, work);
    const { roles } = await ask(() => this.#call.call(Auth.RoleList, {}, client));
    for (const role of roles) {
      const { perm } = await ask(() => this.#call.call(Auth.RoleGet, { role }, client));
      await this.#call.call(Auth.RoleAdd, { name: role }, this.#target);
      if (role === "root") continue; // it allows everything, and says so
      for (const each of perm) {
        const request = { name: role, perm: each };
        await this.#call.call(Auth.RoleGrantPermission, request, this.#target);
      }
    }
    return roles.length;
  }

  /** Their passwords are not to be had: each is given one that nobody knows. */
  async #copyUsers(): Promise<string[]> {
    const { client, endpoint } = this.#source;
    const { users } = await fromSource(endpoint, () => this.#call.call(Auth.UserList, {}, client));
    for (const name of users) {
      const { roles } = await fromSource(endpoint, () =>
        this.#call.call(Auth.UserGet, { name }, client),
      );
      const password = Buffer.from(crypto.getRandomValues(new Uint8Array(24))).toString("base64");
      await this.#call.call(Auth.UserAdd, { name, password }, this.#target);
      for (const role of roles) {
        await this.#call.call(Auth.UserGrantRole, { user: name, role }, this.#target);
      }
    }
    return users;
  }

  /** Every key and value of both, side by side; the number of keys. */
  async #verify(): Promise<number> {
    const { client, endpoint } = this.#source;
    let key = "\0";
    let keys = 0;
    for (let more = true; more; ) {
      const request = { key, rangeEnd: "\0", limit: PAGE_KEYS };
      const old = await fromSource(endpoint, () => this.#call.call(KV.Range, request, client));
      const copy = await this.#call.call(KV.Range, request, this.#target);
      requireEqual(old.kvs, copy.kvs, endpoint);
      if (old.count !== copy.count) throw different(`${old.count} keys`, `${copy.count}`, endpoint);
      keys += old.kvs.length;
      more = old.more;
      key = `${old.kvs.at(-1)?.key ?? ""}\0`;
    }
    this.#tell(`verified: ${keys} keys with the same values, here and there`);
    return keys;
  }
}

function requireEqual(old: readonly KeyValue[], copy: readonly KeyValue[], endpoint: string): void {
  for (const [i, { key, value }] of old.entries()) {
    const other = copy[i];
    const name = JSON.stringify(key);
    if (other?.key !== key) throw different(name, JSON.stringify(other?.key ?? ""), endpoint);
    if (Buffer.compare(value, other.value) !== 0) {
      throw different(`one value of ${name}`, "another", endpoint);
    }
  }
}

function different(there: string, here: string, endpoint: string): ExitError {
  const what = `${endpoint} has ${there} where the copy has ${here}`;
  const how = "something was written since: stop the writers, empty the new cluster, copy again";
  return new ExitError(EXIT.FAILED, `${what}; ${how}`);
}

function putOp(key: string, value: Uint8Array, lease: bigint): RequestOp {
  return RequestOp.create({ requestPut: PutRequest.create({ key, value, lease }) });
}

function deleteOp(key: string): RequestOp {
  return RequestOp.create({ requestDeleteRange: DeleteRangeRequest.create({ key }) });
}
