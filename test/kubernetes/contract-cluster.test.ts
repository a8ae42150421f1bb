/**
 * kube-apiserver at three members of which the leader dies: its watches go on at another member
 * without a gap, its lists and changes, too; what it compacts is compacted everywhere.
 */
import { describe, expect, test } from "bun:test";
import { Cluster, type ClusterOptions } from "../support/cluster.ts";
import { witness } from "../support/etcd-witness.ts";
import { until } from "../support/processes.ts";
import { Compactor } from "./compactor.ts";
import { KubeStore } from "./store.ts";
import { WatchClient } from "./watch-client.ts";

const KINDS: readonly (readonly [
  name: string,
  options: Omit<ClusterOptions, "size"> | undefined,
])[] = [
  ["etcd 3.7.1", witness && { kind: "etcd", executable: witness.etcd }],
  ["aether", { kind: "aether" }],
];

const TIMEOUT_MS = 90_000;
const PREFIX = "/registry/pods/";
/** Refused or unanswered while nobody leads: the apiserver's client asks again. */
const PASSING = new Set([4, 14]);

/** Writers that go on whatever happens, each with a key of its own; counts what was done. */
class Writers {
  readonly done: Promise<unknown>;
  acknowledged = 0;
  #stopped = false;

  constructor(endpoints: readonly string[], count: number) {
    this.done = Promise.all(Array.from({ length: count }, (_, at) => this.#write(endpoints, at)));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.done;
  }

  async #write(endpoints: readonly string[], at: number): Promise<void> {
    let turn = at;
    let store = new KubeStore(endpoints[turn % endpoints.length] as string);
    const key = `${PREFIX}${at}`;
    while (!this.#stopped) {
      try {
        const kv = await store.get(key);
        const change =
          kv === undefined
            ? await store.create(key, "1")
            : await store.update(key, String(Number(kv.value) + 1), Number(kv.modRevision));
        if (change.done) this.acknowledged++;
      } catch (error) {
        if (!PASSING.has((error as { code: number }).code)) throw error;
        store[Symbol.dispose]();
        store = new KubeStore(endpoints[++turn % endpoints.length] as string);
        await Bun.sleep(20);
      }
    }
    store[Symbol.dispose]();
  }
}

describe.each(KINDS)("%s", (_name, options) => {
  if (options === undefined) return;

  test(
    "watches go on without a gap when the leader dies",
    async () => {
      await using cluster = await Cluster.start({ ...options, size: 3 });
      const leader = await cluster.leader();
      const rest = cluster.endpoints.filter((endpoint) => endpoint !== leader.endpoint);
      const endpoints = [leader.endpoint, ...rest];
      using store = new KubeStore(rest[0] as string);
      const { revision } = await store.page(PREFIX, 500);
      using client = new WatchClient(endpoints);
      using other = new WatchClient(rest);
      const atLeader = await client.watch(PREFIX, revision, true);
      const atFollower = await other.watch(PREFIX, revision, true);
      const writers = new Writers(endpoints, 5);
      await until("writes are seen", () => atLeader.events.length > 200);
      await leader.kill();
      const before = writers.acknowledged;
      await until("writing goes on", () => writers.acknowledged > before + 300);
      await leader.restart();
      await writers.stop();

      const { kvs, revision: end } = await store.page(PREFIX, 0);
      await until("all is seen", () => atLeader.next > end && atFollower.next > end);
      const texts = ({ events }: typeof atLeader): string[] =>
        events.map(({ kv }) => `${kv.modRevision} ${kv.key}=${kv.value}`);
      // Nothing else was written, so every revision is an event.
      expect(texts(atLeader)).toEqual(texts(atFollower));
      const revisions = atLeader.events.map(({ kv }) => Number(kv.modRevision));
      expect(revisions).toEqual(revisions.map((_, at) => revision + 1 + at));
      for (const kv of kvs) expect(atLeader.events.some((one) => same(one.kv, kv))).toBe(true);
      expect(revisions.length).toBeGreaterThanOrEqual(writers.acknowledged);
      expect([...client.complaints, ...other.complaints]).toEqual([]);
      expect([client.streams > 1, other.streams]).toEqual([true, 1]);
    },
    TIMEOUT_MS,
  );

  test(
    "apiservers at different members compact one history",
    async () => {
      await using cluster = await Cluster.start({ ...options, size: 3 });
      const stores = cluster.endpoints.map((endpoint) => new KubeStore(endpoint));
      const compactors = stores.map((store) => new Compactor(store));
      let change = await (stores[0] as KubeStore).create(`${PREFIX}a`, "0");
      for (let interval = 0; interval < 4; interval++) {
        const moved = await Promise.all(compactors.map((each) => each.step()));
        expect(moved.filter(Boolean).length).toBeLessThanOrEqual(1);
        if (!change.done) throw new Error("nobody else writes this key");
        const store = stores[interval % stores.length] as KubeStore;
        change = await store.update(`${PREFIX}a`, String(interval), change.revision);
      }
      const compacted = Math.max(...compactors.flatMap(({ compactedAt }) => compactedAt));
      expect(compacted).toBeGreaterThan(0);
      for (const store of stores) {
        expect(await store.get(`${PREFIX}a`, compacted)).toBeDefined();
        const request = { key: Buffer.from(PREFIX), revision: compacted - 1 };
        const refusal = await store.client.refusal("etcdserverpb.KV/Range", request);
        expect(refusal.text).toBe("etcdserver: mvcc: required revision has been compacted");
        store[Symbol.dispose]();
      }
    },
    TIMEOUT_MS,
  );
});

function same(
  a: { readonly modRevision: string; readonly key: Buffer },
  b: { readonly modRevision: string; readonly key: Buffer },
): boolean {
  return a.modRevision === b.modRevision && a.key.equals(b.key);
}
