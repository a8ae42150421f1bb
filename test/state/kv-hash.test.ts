/** HashKV: its rules one by one, and the values of real etcd for the same history. */
import { describe, expect, test } from "bun:test";
import { crc32c } from "../../src/base/crc32c.ts";
import { Prng } from "../../src/base/prng.ts";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import {
  CompactionRequest,
  DeleteRangeRequest,
  HashKVRequest,
  KV,
  Lease,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  Maintenance,
  PutRequest,
  RequestOp,
  TxnRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { KvHash } from "../../src/state/kv-hash.ts";
import type { KeyRow } from "../../src/state/row.ts";
import { startWitness, witness } from "../support/etcd-witness.ts";
import { ETCD, isInstalled, type Launcher, startEtcd } from "../support/processes.ts";
import { Driver } from "./driver.ts";

interface Answer {
  readonly hash: number;
  readonly compactRevision: number;
}

function hashAt({ machine }: Driver, revision = 0, rows = Number.POSITIVE_INFINITY): Answer {
  const hash = new KvHash(machine, revision);
  while (!hash.step(rows));
  return { hash: hash.hash, compactRevision: hash.compactRevision };
}

/** Stored, physically compacted as far as can be, and forgotten by the index. */
function cleaned(driver: Driver): Driver {
  driver.flush();
  driver.history.compact(driver.machine.physicalTarget());
  while (driver.machine.sweep(1000));
  return driver;
}

describe("the hash", () => {
  test("of nothing is that of the bucket's name, also before the first revision", () => {
    const empty = crc32c(Buffer.from("key"));
    const driver = new Driver();
    expect(hashAt(driver)).toEqual({ hash: empty, compactRevision: -1 });
    driver.put("a");
    expect(hashAt(driver, 1).hash).toBe(empty);
    expect(hashAt(driver, -1).hash).toBe(empty); // etcd's answer to a negative revision
  });

  test("does not depend on what is stored, removed, forgotten or looked at in one step", () => {
    const make = (): Driver => {
      const driver = new Driver();
      for (let i = 0; i < 40; i++) driver.put(`k${i % 7}`, `v${i}`);
      driver.delete("k1");
      driver.delete("k2");
      driver.put("k2", "again");
      driver.compact(driver.machine.revision - 2);
      driver.put("k3", "last");
      return driver;
    };
    const expected = hashAt(make());
    expect(hashAt(make(), 0, 1)).toEqual(expected);
    expect(hashAt(cleaned(make()))).toEqual(expected);
    expect(hashAt(cleaned(make()), 0, 2)).toEqual(expected);
    const restarted = cleaned(make());
    restarted.restart();
    expect(hashAt(restarted)).toEqual(expected);
  });

  test("leaves out what a later version hides, up to the compaction point only", () => {
    const driver = new Driver();
    driver.put("a", "1"); // 2
    driver.put("b", "1"); // 3
    driver.put("a", "2"); // 4
    driver.put("a", "3"); // 5
    const rows = driver.machine.scan(1, 10);
    expect(hashAt(driver, 4).hash).toBe(hashOf(rows.slice(0, 3)));
    driver.compact(3);
    expect(hashAt(driver, 4)).toEqual({ hash: hashOf(rows.slice(1, 3)), compactRevision: 3 });
    expect(hashAt(driver, 3).hash).toBe(hashOf(rows.slice(0, 2)));
  });

  test("holds the rows that it needs, and lets go of them", () => {
    const driver = new Driver();
    for (let i = 0; i < 10; i++) driver.put("k", `${i}`);
    const hash = new KvHash(driver.machine);
    hash.step(1);
    driver.compact(9);
    expect(driver.machine.physicalTarget()).toBe(-1);
    while (!hash.step(1));
    expect(driver.machine.physicalTarget()).toBe(9);
    hash.close();
  });
});

/** As etcd lays rows out that are no tombstones. */
function hashOf(rows: readonly KeyRow[]): number {
  let hash = crc32c(Buffer.from("key"));
  for (const { revision, sub, kv } of rows) {
    const place = Buffer.alloc(17, "_");
    place.writeBigUInt64BE(BigInt(revision), 0);
    place.writeBigUInt64BE(BigInt(sub), 9);
    hash = crc32c(kv, crc32c(place, hash));
  }
  return hash;
}

const KEYS = ["a", "b", "ba", "c", "d", "key\xff", "zz"];

/** The same operations on both, by chance; etcd's revision has to follow ours. */
class Twins {
  readonly driver = new Driver();
  readonly #client: EtcdClient;
  readonly #prng: Prng;
  #leases: bigint[] = [];
  #nextLease = 1n;

  constructor(client: EtcdClient, seed: number) {
    this.#client = client;
    this.#prng = new Prng(seed);
  }

  async step(): Promise<void> {
    const roll = this.#prng.below(100);
    if (roll < 50) await this.#put();
    else if (roll < 65) await this.#delete();
    else if (roll < 75) await this.#txn();
    else if (roll < 83) await this.#grant();
    else if (roll < 87) await this.#revoke();
    else if (roll < 92) await this.#clear();
    else await this.compact(this.driver.machine.revision - this.#prng.below(6));
  }

  async compact(revision: number): Promise<void> {
    const { machine } = this.driver;
    if (revision <= Math.max(machine.compactRevision, 0)) return;
    const request = CompactionRequest.create({ revision, physical: true });
    await this.#client.channel.call(KV.Compact, request);
    this.driver.compact(revision);
    if (this.#prng.chance(50)) cleaned(this.driver);
  }

  etcd(revision: number): Promise<Answer> {
    const request = HashKVRequest.create({ revision });
    return this.#client.channel.call(Maintenance.HashKV, request);
  }

  async #put(): Promise<void> {
    const lease = this.#prng.chance(30) ? (this.#leases.at(-1) ?? 0n) : 0n;
    const value = Buffer.alloc(this.#prng.below(200), "v");
    const key = this.#key();
    await this.#client.put(key, value, { lease });
    this.driver.put("", "", { key, value, lease });
  }

  async #delete(): Promise<void> {
    const key = this.#key();
    await this.#client.delete(key);
    this.driver.delete(key);
  }

  /** Everything is gone, so the filter is, too. */
  async #clear(): Promise<void> {
    const request = DeleteRangeRequest.create({ key: "\0", rangeEnd: "\0" });
    await this.#client.channel.call(KV.DeleteRange, request);
    this.driver.delete("\0", "\0");
  }

  async #txn(): Promise<void> {
    const put = RequestOp.create({ requestPut: PutRequest.create({ key: "t", value: V }) });
    const range = DeleteRangeRequest.create({ key: "a", rangeEnd: "c" });
    const remove = RequestOp.create({ requestDeleteRange: range });
    const request = TxnRequest.create({ success: [put, remove, TXN] });
    await this.#client.channel.call(KV.Txn, request);
    this.driver.txn(request);
  }

  async #grant(): Promise<void> {
    const ID = this.#nextLease++;
    await this.#client.channel.call(Lease.LeaseGrant, LeaseGrantRequest.create({ ID, TTL: 5000 }));
    this.driver.grant(ID, 5000);
    this.#leases.push(ID);
  }

  async #revoke(): Promise<void> {
    const ID = this.#leases.pop();
    if (ID === undefined) return;
    await this.#client.channel.call(Lease.LeaseRevoke, LeaseRevokeRequest.create({ ID }));
    this.driver.revoke(ID);
  }

  #key(): string {
    return KEYS[this.#prng.below(KEYS.length)] as string;
  }
}

const V = Buffer.from("value");
const TXN = RequestOp.create({
  requestTxn: TxnRequest.create({
    success: [RequestOp.create({ requestPut: PutRequest.create({ key: "u", value: V }) })],
  }),
});

const servers: readonly [string, Launcher, boolean][] = [
  ["etcd 3.7.1", startWitness, witness !== undefined],
  ["Debian's etcd 3.4", startEtcd, await isInstalled(ETCD)],
];

for (const [name, start, isHere] of servers) {
  test.skipIf(!isHere)(
    `the hash is that of ${name}, at every revision of a random history`,
    async () => {
      await using server = await start();
      const client = new EtcdClient({ endpoints: [server.endpoint] });
      const twins = new Twins(client, 11);
      const { machine } = twins.driver;
      let compared = 0;
      for (let i = 0; i < 400; i++) {
        await twins.step();
        if (i % 5 !== 0) continue;
        // At the point itself etcd 3.7 shows what it computed when it compacted, until it restarts.
        const oldest = Math.max(machine.compactRevision + 1, 1);
        for (let revision = oldest; revision <= machine.revision; revision++) {
          const { hash, compactRevision } = await twins.etcd(revision);
          const expected = { hash, compactRevision, revision };
          expect({ ...hashAt(twins.driver, revision), revision }).toEqual(expected);
          compared++;
        }
      }
      expect(compared).toBeGreaterThan(300);
      await twins.compact(machine.revision);
      await server.stop();
      await server.restart();
      const { hash, compactRevision } = await twins.etcd(0);
      expect(hashAt(twins.driver)).toEqual({ hash, compactRevision });
      await client.close();
    },
    60_000,
  );
}
