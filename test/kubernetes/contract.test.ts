/**
 * What kube-apiserver needs of etcd, performed exactly as it does: the same test for the etcd of
 * our version and for us, one node each. contract-cluster.test.ts takes the leader away.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startWitness, witness } from "../support/etcd-witness.ts";
import type { KeyValue, WatchEvent } from "../support/grpc-js.ts";
import { type Launcher, type ServerProcess, startAether, until } from "../support/processes.ts";
import { COMPACT_KEY, Compactor } from "./compactor.ts";
import { type Change, type Continuation, KubeStore } from "./store.ts";
import { WatchClient } from "./watch-client.ts";

const SERVERS: readonly (readonly [name: string, launch: Launcher, skip: boolean])[] = [
  ["etcd 3.7.1", startWitness, witness === undefined],
  ["aether", startAether, false],
];

/** kubeadm's 5 s would make the tests slow. */
const ARGS = ["--watch-progress-notify-interval=300ms"];
/** How often a read that waits for its cache asks how far the watch is. */
const ASK_PROGRESS_MS = 100;
/** A server that is silent for longer counts as dead. */
const PROBE_MS_MAX = 2000;
const TIMEOUT_MS = 60_000;

const nameOf = ({ key }: KeyValue): string => key.toString("latin1").replace(/^.*\//, "");
const kindOf = ({ type, kv }: WatchEvent): string => `${type} ${nameOf(kv)}`;
const padded = (index: number): string => String(index).padStart(5, "0");

function revisionOf(change: Change): number {
  if (!change.done) throw new Error("the change was refused");
  return change.revision;
}

describe.each(SERVERS)("%s", (_name, launch, skip) => {
  if (skip) return;
  let server: ServerProcess;
  let store: KubeStore;
  let resources = 0;
  const newPrefix = (): string => `/registry/kind${++resources}/`;

  beforeAll(async () => {
    server = await launch({ args: ARGS });
    store = new KubeStore(server.endpoint);
  });
  afterAll(async () => {
    store?.[Symbol.dispose]();
    await server?.[Symbol.asyncDispose]();
  });

  /** Many objects, a hundred at a time. */
  async function createAll(prefix: string, count: number, lease = "0"): Promise<void> {
    for (let from = 0; from < count; from += 100) {
      const some = Array.from({ length: Math.min(100, count - from) }, (_, at) =>
        store.create(`${prefix}${padded(from + at)}`, "value", lease),
      );
      await Promise.all(some);
    }
  }

  describe("an object", () => {
    test("is created once, updated and deleted at the revision that was seen", async () => {
      const key = `${newPrefix()}ns/a`;
      const created = revisionOf(await store.create(key, "1"));
      expect(await store.create(key, "2")).toEqual({ done: false, current: undefined });
      const updated = revisionOf(await store.update(key, "3", created));
      expect(updated).toBe(created + 1);
      const late = await store.update(key, "4", created);
      expect(late).toMatchObject({ done: false, current: { modRevision: String(updated) } });
      expect(await store.delete(key, created)).toMatchObject({
        ...{ done: false, current: { value: Buffer.from("3") } },
      });
      expect(revisionOf(await store.delete(key, updated))).toBe(updated + 1);
      expect(await store.delete(key, updated)).toEqual({ done: false, current: undefined });
      expect(await store.update(key, "5", updated)).toEqual({ done: false, current: undefined });
      expect(await store.get(key)).toBeUndefined();
      expect((await store.get(key, updated))?.value.toString()).toBe("3");
      expect(await store.currentRevision(key)).toBe(updated + 1);
    });

    test("is changed by one of many who try", async () => {
      const key = `${newPrefix()}counter`;
      revisionOf(await store.create(key, "0"));
      const add = async (): Promise<void> => {
        for (;;) {
          const kv = (await store.get(key)) as KeyValue;
          const change = await store.update(
            key,
            String(Number(kv.value) + 1),
            Number(kv.modRevision),
          );
          if (change.done) return;
        }
      };
      await Promise.all(Array.from({ length: 20 }, add));
      expect(await store.get(key)).toMatchObject({ value: Buffer.from("20"), version: "21" });
    });
  });

  describe("a list", () => {
    test("is read in pages of one revision, whatever happens meanwhile", async () => {
      const prefix = newPrefix();
      await createAll(prefix, 1237);
      const names: string[] = [];
      const counts: number[] = [];
      let next: Continuation | undefined;
      let pinned = 0;
      do {
        const page = await store.page(prefix, 500, next);
        pinned ||= page.revision;
        expect(page.revision).toBe(pinned);
        names.push(...page.kvs.map(nameOf));
        counts.push(page.count);
        next = page.next;
        await store.create(`${prefix}${padded(600)}+${names.length}`, "new");
        const kv = (await store.get(`${prefix}${padded(1200)}`)) as KeyValue;
        if (kv !== undefined)
          await store.delete(`${prefix}${padded(1200)}`, Number(kv.modRevision));
      } while (next !== undefined);
      expect(names).toEqual(Array.from({ length: 1237 }, (_, at) => padded(at)));
      expect(counts).toEqual([1237, 737, 237]);
      expect(await store.count(prefix)).toBe(1237 + 3 - 1);
      const keys = await store.keys(prefix);
      expect(keys).toHaveLength(1239);
      expect(keys[0]).toMatchObject({ value: Buffer.from(""), version: "1" });
    }, 20_000);

    test("is streamed, and says the same as the pages", async () => {
      const prefix = newPrefix();
      await createAll(prefix, 1100);
      const streamed = await store.stream(prefix);
      const page = await store.page(prefix, 0);
      expect([streamed.revision, streamed.count]).toEqual([page.revision, page.count]);
      expect(streamed.kvs).toEqual([...page.kvs]);
      const empty = await store.stream(newPrefix());
      expect([empty.count, empty.kvs]).toEqual([0, []]);
    });

    test("of a revision that is not there yet, or no more, is refused by name", async () => {
      const prefix = newPrefix();
      const first = revisionOf(await store.create(`${prefix}a`, "1"));
      const second = revisionOf(await store.update(`${prefix}a`, "2", first));
      const refusal = (revision: number) =>
        store.client.refusal("etcdserverpb.KV/Range", { key: Buffer.from(prefix), revision });
      expect(await refusal(second + 1000)).toEqual({
        code: 11,
        text: "etcdserver: mvcc: required revision is a future revision",
      });
      await store.client.unary("etcdserverpb.KV/Compact", { revision: second });
      expect(await refusal(first)).toEqual({
        code: 11,
        text: "etcdserver: mvcc: required revision has been compacted",
      });
    });
  });

  describe("watches", () => {
    test("of many kinds share one stream, with the past of every change", async () => {
      const prefixes = Array.from({ length: 100 }, newPrefix);
      const from = await store.currentRevision(prefixes[0] as string);
      using client = new WatchClient([server.endpoint]);
      const watches = await Promise.all(prefixes.map((prefix) => client.watch(prefix, from, true)));
      await Promise.all(
        prefixes.map(async (prefix) => {
          const created = revisionOf(await store.create(`${prefix}a`, "1"));
          const updated = revisionOf(await store.update(`${prefix}a`, "2", created));
          await store.delete(`${prefix}a`, updated);
        }),
      );
      await until("all has come", () => watches.every(({ events }) => events.length === 3));
      for (const { events } of watches) {
        expect(events.map(kindOf)).toEqual(["PUT a", "PUT a", "DELETE a"]);
        const before = events.map(({ prevKv }) => prevKv?.value.toString() ?? null);
        expect(before).toEqual([null, "1", "2"]);
      }
      expect([client.complaints, client.streams]).toEqual([[], 1]);
    });

    test("tell from time to time how far they are, without being asked", async () => {
      const prefix = newPrefix();
      const from = await store.currentRevision(prefix);
      using client = new WatchClient([server.endpoint]);
      const quiet = await client.watch(prefix, from, true);
      const silent = await client.watch(newPrefix(), from);
      const revision = revisionOf(await store.create(`${newPrefix()}a`, "1"));
      await until("a mark", () => quiet.marks.some((mark) => mark >= revision));
      expect(silent.marks).toEqual([]);
      expect(client.complaints).toEqual([]);
    });

    test("tell what a consistent read from the cache waits for", async () => {
      const prefix = newPrefix();
      const from = await store.currentRevision(prefix);
      using client = new WatchClient([server.endpoint]);
      const cache = await client.watch(prefix, from);
      let writing = true;
      const writer = (async () => {
        for (let i = 0; writing; i++) await store.create(`${prefix}${padded(i)}`, "value");
      })();
      for (let read = 0; read < 10; read++) {
        const revision = await store.currentRevision(prefix);
        const ticker = setInterval(() => client.requestProgress(), ASK_PROGRESS_MS);
        client.requestProgress();
        await until("the cache is fresh", () => cache.next > revision);
        clearInterval(ticker);
        // Whatever a mark stands for was there before it.
        const { kvs } = await store.page(prefix, 0, { revision, key: prefix });
        expect(cache.events.length).toBeGreaterThanOrEqual(kvs.length);
      }
      writing = false;
      await writer;
      const last = await store.currentRevision(prefix);
      const ticker = setInterval(() => client.requestProgress(), ASK_PROGRESS_MS);
      await until("a mark at the end", () => cache.marks.some((mark) => mark >= last));
      clearInterval(ticker);
      expect(client.complaints).toEqual([]);
    });

    test("from a list on miss nothing of what was written meanwhile", async () => {
      const prefix = newPrefix();
      await createAll(prefix, 200);
      const { revision, kvs } = await store.stream(prefix);
      await createAll(`${prefix}late-`, 200);
      using client = new WatchClient([server.endpoint]);
      const watch = await client.watch(prefix, revision);
      await until("all has come", () => watch.events.length === 200);
      const known = new Set([...kvs.map(nameOf), ...watch.events.map(({ kv }) => nameOf(kv))]);
      expect(known.size).toBe(400);
      expect(client.complaints).toEqual([]);
    });
  });

  test("several apiservers compact, one at a time, and watch it", async () => {
    const prefix = newPrefix();
    const key = `${prefix}a`;
    let revision = revisionOf(await store.create(key, "0"));
    const stores = [0, 1, 2].map(() => new KubeStore(server.endpoint));
    const compactors = stores.map((one) => new Compactor(one));
    using client = new WatchClient([server.endpoint]);
    const watch = await client.watch(COMPACT_KEY, revision);
    for (let interval = 0; interval < 6; interval++) {
      const moved = await Promise.all(compactors.map((each) => each.step()));
      expect(moved.filter(Boolean).length).toBeLessThanOrEqual(1);
      revision = revisionOf(await store.update(key, String(interval), revision));
    }
    const compactedAt = compactors.flatMap((each) => each.compactedAt).sort((a, b) => a - b);
    expect(compactedAt.length).toBeGreaterThanOrEqual(2);
    const said = (): number[] =>
      watch.events.map(({ kv }) => Number(kv.value.toString())).filter((at) => at > 0);
    await until("the watch knows", () => said().length === compactedAt.length);
    expect(said()).toEqual(compactedAt);
    const last = compactedAt.at(-1) as number;
    const read = { key: Buffer.from(key), revision: last - 1 };
    expect((await store.client.refusal("etcdserverpb.KV/Range", read)).code).toBe(11);
    expect(await store.get(key, last)).toBeDefined();
    using late = new WatchClient([server.endpoint]);
    const behind = await late.watch(prefix, 1);
    await until("the watch is ended", () => behind.compacted !== undefined);
    expect(behind.compacted).toBe(last);
    expect([...client.complaints, ...late.complaints]).toEqual([]);
    for (const one of stores) one[Symbol.dispose]();
  });

  test(
    "events of a lease go in one revision, and nobody has to wait for them",
    async () => {
      const count = 5000;
      const prefix = newPrefix();
      const other = newPrefix();
      const { ID } = await store.client.unary("etcdserverpb.Lease/LeaseGrant", { TTL: 4 });
      const from = await store.currentRevision(prefix);
      using client = new WatchClient([server.endpoint]);
      const watch = await client.watch(prefix, from);
      // The apiserver's leases live for an hour; this one only has to live until all is written.
      const renewals = store.client.duplex("etcdserverpb.Lease/LeaseKeepAlive");
      const ticker = setInterval(() => renewals.send({ ID }), 500);
      await createAll(prefix, count, ID);
      await until("all are created", () => watch.events.length === count);
      clearInterval(ticker);
      renewals.cancel();
      let slowestMs = 0;
      for (let i = 0; watch.events.length < 2 * count; i++) {
        const begunMs = performance.now();
        await store.create(`${other}${padded(i)}`, "value");
        slowestMs = Math.max(slowestMs, performance.now() - begunMs);
        if (i % 20 === 0) await Bun.sleep(10);
      }
      const gone = watch.events.slice(count);
      expect(new Set(gone.map(({ kv }) => kv.modRevision)).size).toBe(1);
      expect(gone.map(({ kv }) => nameOf(kv))).toEqual(
        Array.from({ length: count }, (_, at) => padded(at)),
      );
      expect(gone.every(({ prevKv }) => prevKv?.lease === ID)).toBe(true);
      expect(await store.count(prefix)).toBe(0);
      expect(slowestMs).toBeLessThan(PROBE_MS_MAX);
      expect(client.complaints).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test("has the features that its version promises, and is healthy", async () => {
    const { version } = await store.client.unary("etcdserverpb.Maintenance/Status");
    const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
    expect(major === 3 && (minor > 5 || (minor === 5 && patch >= 13))).toBe(true);
    const probe = { key: Buffer.from("/registry/health") };
    const { header } = await store.client.unary("etcdserverpb.KV/Range", probe, {
      deadlineMs: PROBE_MS_MAX,
    });
    expect(Number(header.revision)).toBeGreaterThan(0);
  });
});
