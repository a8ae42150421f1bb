/** A history that has everything in it, and what a server says of it. */
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { PermissionType } from "../../src/proto/gen/authpb.ts";
import {
  Auth,
  Compare,
  KV,
  Lease,
  Maintenance,
  PutRequest,
  RequestOp,
} from "../../src/proto/gen/etcdserverpb.ts";
import type { KeyValue } from "../../src/proto/gen/mvccpb.ts";

/** Every key there is. */
const ALL = { key: "\0", rangeEnd: "\0" };
export const ROOT = { name: "root", password: "open sesame" };
const LEASE = 0x1234_5678_9abc_def0n;
const DEEP = 400;

/** Puts, transactions, deletions, leases, a compaction, users: with auth enabled in the end. */
export async function fill(endpoint: string): Promise<void> {
  const client = new EtcdClient({ endpoints: [endpoint], timeoutMs: 10_000 });
  try {
    await fillKeys(client);
    await fillAuth(client);
  } finally {
    client.close();
  }
}

async function fillKeys(client: EtcdClient): Promise<void> {
  const put = (key: string, text: string, lease = 0n): Promise<unknown> =>
    client.put(key, Buffer.from(text), { lease });
  for (const key of ["a", "b", "c", "gone", "binary\0\xff\x80"]) await put(key, `${key} 1`);
  await put("large", "x".repeat(5000));
  await put("empty", "");
  await client.delete("gone");
  for (let i = 0; i < DEEP; i++) await put("deep", `version ${i}`);
  const puts = ["t1", "t2", "t3"].map((key) => {
    return RequestOp.create({ requestPut: PutRequest.create({ key, value: Buffer.from("txn") }) });
  });
  await client.txn([Compare.create({ key: "a", target: 0, result: 1 })], puts);
  await put("again", "first");
  // The compaction point is where a key was deleted: its tombstone stays.
  const { header } = await client.delete("again");
  await client.channel.call(KV.Compact, { revision: header?.revision ?? 0, physical: true });
  await put("again", "second");
  await client.delete("b");
  await client.channel.call(Lease.LeaseGrant, { ID: LEASE, TTL: 6000 });
  await client.channel.call(Lease.LeaseGrant, { ID: 77n, TTL: 3000 });
  await put("leased 1", "x", LEASE);
  await put("leased 2", "y", LEASE);
  await put("leased 2", "z");
  await client.delete("t1", { rangeEnd: "t3" });
}

async function fillAuth(client: EtcdClient): Promise<void> {
  const { channel } = client;
  await channel.call(Auth.UserAdd, { ...ROOT, options: undefined, hashedPassword: "" });
  await channel.call(Auth.UserGrantRole, { user: "root", role: "root" });
  await channel.call(Auth.RoleAdd, { name: "reader" });
  const perm = { permType: PermissionType.READ, key: "a", rangeEnd: "c" };
  await channel.call(Auth.RoleGrantPermission, { name: "reader", perm });
  const user = { name: "rita", password: "secret", options: undefined, hashedPassword: "" };
  await channel.call(Auth.UserAdd, user);
  await channel.call(Auth.UserGrantRole, { user: "rita", role: "reader" });
  await channel.call(Auth.AuthEnable, {});
}

/** What a server answers about all that; equal for servers with the same state. */
export async function observe(endpoint: string): Promise<Record<string, unknown>> {
  const client = new EtcdClient({ endpoints: [endpoint], credentials: ROOT, timeoutMs: 10_000 });
  try {
    await client.authenticate();
    const { header, count } = await client.range({ ...ALL, countOnly: true });
    const revision = header?.revision ?? 0;
    const { compactRevision, hash } = await client.channel.call(Maintenance.HashKV, { revision });
    const reads: Record<string, unknown> = {};
    for (let at = compactRevision; at <= revision; at++) {
      reads[`at ${at}`] = (await client.range({ ...ALL, revision: at })).kvs.map(shown);
    }
    return {
      ...{ revision, count, compactRevision, hash },
      ...reads,
      compacted: await refusal(client.range({ ...ALL, revision: compactRevision - 1 })),
      watched: await watched(client, compactRevision, revision),
      ...(await leases(client)),
      ...(await users(client, endpoint)),
    };
  } finally {
    client.close();
  }
}

function shown(kv: KeyValue): string {
  const { key, createRevision, modRevision, version, value, lease } = kv;
  const what = `${JSON.stringify(key)} ${createRevision} ${modRevision} ${version} ${lease}`;
  return `${what} ${Buffer.from(value).toString("latin1")}`;
}

/** A revision that was bumped has no event: nobody would tell that there is none. */
const BUMPED = 1_000_000;

async function watched(client: EtcdClient, from: number, to: number): Promise<string[]> {
  const events: string[] = [];
  if (to > BUMPED) return events;
  for await (const batch of client.watch({ ...ALL, startRevision: from, prevKv: true })) {
    for (const { type, kv, prevKv } of batch.events) {
      const before = prevKv === undefined ? "" : ` was ${shown(prevKv)}`;
      events.push(`${type} ${kv === undefined ? "" : shown(kv)}${before}`);
    }
    if (batch.kind === "events" && batch.revision >= to) break;
  }
  return events;
}

async function leases(client: EtcdClient): Promise<Record<string, unknown>> {
  const { leases } = await client.channel.call(Lease.LeaseLeases, {});
  const ids = leases.map(({ ID }) => ID).sort();
  const found: Record<string, unknown> = { leases: ids };
  for (const id of ids) {
    const { grantedTTL, keys, TTL } = await client.leaseTimeToLive(id, true);
    found[`lease ${id}`] = { grantedTTL, keys, isAlive: TTL > 0 };
  }
  return found;
}

async function users(client: EtcdClient, endpoint: string): Promise<Record<string, unknown>> {
  const { users: names } = await client.channel.call(Auth.UserList, {});
  const { roles } = await client.channel.call(Auth.RoleList, {});
  const found: Record<string, unknown> = { names, roles };
  for (const name of names) {
    found[`user ${name}`] = (await client.channel.call(Auth.UserGet, { name })).roles;
  }
  for (const role of roles) {
    found[`role ${role}`] = (await client.channel.call(Auth.RoleGet, { role })).perm;
  }
  const credentials = { name: "rita", password: "secret" };
  const rita = new EtcdClient({ endpoints: [endpoint], credentials, timeoutMs: 10_000 });
  try {
    found["rita reads a"] = (await rita.get("a"))?.modRevision;
    found["rita reads c"] = await refusal(rita.get("c"));
  } finally {
    rita.close();
  }
  return found;
}

async function refusal(call: Promise<unknown>): Promise<string> {
  return await call.then(
    () => "served",
    (error: Error) => error.message,
  );
}
