/**
 * The rules of Watch and Lease, one by one, over raw streams of a stranger's client: the same
 * expectations for the etcd of our version and for us, so that none is only what we believe.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startWitness, witness } from "../support/etcd-witness.ts";
import { GrpcJsClient, type Inbox, type Message } from "../support/grpc-js.ts";
import { type Launcher, type ServerProcess, startAether } from "../support/processes.ts";

const PROGRESS_MS = 200;
const ARGS = [`--watch-progress-notify-interval=${PROGRESS_MS}ms`];

const SERVERS: readonly (readonly [name: string, launch: Launcher, skip: boolean])[] = [
  ["etcd 3.7.1", startWitness, witness === undefined],
  ["aether", startAether, false],
];

const key = (text: string): Buffer => Buffer.from(text, "latin1");
const PROGRESS = { progressRequest: {} };

/** What a test has of a server: keys of its own, since all tests share one. */
class Scene {
  readonly client: GrpcJsClient;
  readonly #prefix: string;

  constructor(client: GrpcJsClient, prefix: string) {
    this.client = client;
    this.#prefix = prefix;
  }

  key(name: string): Buffer {
    return key(`${this.#prefix}/${name}`);
  }

  /** All keys of the test. */
  get all(): { key: Buffer; rangeEnd: Buffer } {
    return { key: key(`${this.#prefix}/`), rangeEnd: key(`${this.#prefix}0`) };
  }

  /** Puts and returns the revision. */
  async put(name: string, value = "", more: object = {}): Promise<number> {
    const request = { key: this.key(name), value: key(value), ...more };
    return revisionOf(await this.client.unary("etcdserverpb.KV/Put", request));
  }

  async delete(name: string): Promise<number> {
    const request = { key: this.key(name) };
    return revisionOf(await this.client.unary("etcdserverpb.KV/DeleteRange", request));
  }

  /** Puts several keys at once. */
  async putAll(names: readonly string[], value: Buffer = key("")): Promise<number> {
    const success = names.map((name) => ({ requestPut: { key: this.key(name), value } }));
    return revisionOf(await this.client.unary("etcdserverpb.KV/Txn", { success }));
  }

  async compact(revision: number): Promise<void> {
    await this.client.unary("etcdserverpb.KV/Compact", { revision });
  }

  watch(): Watching {
    return new Watching(this.client.duplex("etcdserverpb.Watch/Watch"), this);
  }

  grant(TTL: number, ID: string | number = 0): Promise<Message> {
    return this.client.unary("etcdserverpb.Lease/LeaseGrant", { TTL, ID });
  }

  life(ID: string | number, keys = false): Promise<Message> {
    return this.client.unary("etcdserverpb.Lease/LeaseTimeToLive", { ID, keys });
  }
}

/** One watch stream. */
class Watching {
  readonly inbox: Inbox;
  readonly #scene: Scene;

  constructor(inbox: Inbox, scene: Scene) {
    this.inbox = inbox;
    this.#scene = scene;
  }

  /** Asks for a watcher of all keys of the test, unless others are named; its first answer. */
  async create(request: object = {}): Promise<Message> {
    this.inbox.send({ createRequest: { ...this.#scene.all, ...request } });
    return await this.inbox.next();
  }

  cancel(watchId: number): void {
    this.inbox.send({ cancelRequest: { watchId } });
  }

  next(): Promise<Message> {
    return this.inbox.next();
  }

  /** Nothing came but what was taken: proved by something that is answered after it. */
  async expectSilence(): Promise<void> {
    const marker = await this.create({ key: key("nobody's"), rangeEnd: key("") });
    expect(marker).toMatchObject({ created: true, canceled: false });
    this.cancel(Number(marker.watchId));
    expect(await this.next()).toMatchObject({ canceled: true, watchId: marker.watchId });
  }

  /** Takes responses until so many events came. */
  async take(count: number): Promise<Message[]> {
    const taken: Message[] = [];
    while (eventsOf(taken).length < count) taken.push(await this.next());
    return taken;
  }

  close(): void {
    this.inbox.cancel();
  }
}

function revisionOf({ header }: Message): number {
  return Number(header.revision);
}

function eventsOf(responses: readonly Message[]): string[] {
  return responses.flatMap(({ events }) =>
    events.map(({ type, kv }) => `${type} ${kv.key.toString("latin1").replace(/^.*\//, "")}`),
  );
}

describe.each(SERVERS)("%s", (_name, launch, skip) => {
  if (skip) return;
  let server: ServerProcess;
  let client: GrpcJsClient;
  let scenes = 0;
  const scene = (): Scene => new Scene(client, `t${++scenes}`);

  beforeAll(async () => {
    server = await launch({ args: ARGS });
    client = new GrpcJsClient(server.endpoint);
  });
  afterAll(async () => {
    client?.close();
    await server?.[Symbol.asyncDispose]();
  });

  describe("watch", () => {
    test("ids are given from 0, used ones are passed over; a negative one is an id", async () => {
      const at = scene();
      const watch = at.watch();
      const ids: string[] = [];
      for (const watchId of [0, 1, 7, 0, 0, -5, 0]) {
        ids.push((await watch.create({ watchId })).watchId);
      }
      expect(ids).toEqual(["0", "1", "7", "2", "3", "-5", "4"]);
      watch.close();
    });

    test("an id in use is refused, and the stream goes on", async () => {
      const at = scene();
      const watch = at.watch();
      await watch.create({ watchId: 3 });
      const refusal = await watch.create({ watchId: 3 });
      expect(refusal).toMatchObject({ created: true, canceled: true, watchId: "-1" });
      const reason = "mvcc: duplicate watch ID provided on the WatchStream";
      expect(refusal.cancelReason).toBe(reason);
      const revision = await at.put("a");
      expect(await watch.next()).toMatchObject({ watchId: "3" });
      expect(revisionOf(refusal)).toBe(revision - 1);
      watch.close();
    });

    test("an empty range and a negative start are refused, each with its reason", async () => {
      const at = scene();
      const watch = at.watch();
      const revision = await at.put("a");
      const refused = { created: true, canceled: true, watchId: "-1", compactRevision: "0" };
      for (const [request, reason] of [
        [{ key: key("b"), rangeEnd: key("a") }, "mvcc: watcher range is empty"],
        [{ key: key("b"), rangeEnd: key("b") }, "mvcc: watcher range is empty"],
        [{ startRevision: -1 }, "etcdserver: mvcc: required revision has been compacted"],
        [
          { startRevision: -1, key: key("b"), rangeEnd: key("a") },
          "etcdserver: mvcc: required revision has been compacted",
        ],
      ] as const) {
        const answer = await watch.create(request);
        expect(answer).toMatchObject({ ...refused, cancelReason: reason });
        expect(revisionOf(answer)).toBe(revision);
      }
      expect((await watch.create()).watchId).toBe("0");
      watch.close();
    });

    test("an empty key is the smallest one, an open end every key from there on", async () => {
      const at = scene();
      const watch = at.watch();
      await watch.create({ key: key(""), rangeEnd: key("\0") });
      await watch.create({ key: key(""), rangeEnd: key("") });
      await at.put("a");
      expect(await watch.next()).toMatchObject({ watchId: "0" });
      await watch.expectSilence();
      watch.close();
    });

    test("a start in the past replays, with the present in the header", async () => {
      const at = scene();
      const first = await at.put("a", "1");
      await at.delete("a");
      await at.put("b", "2");
      const now = await at.put("elsewhere");
      const watch = at.watch();
      const created = await watch.create({ startRevision: first, rangeEnd: at.key("c") });
      expect(created).toMatchObject({ created: true, canceled: false, watchId: "0" });
      expect([revisionOf(created), created.events.length]).toEqual([now, 0]);
      const [response] = await watch.take(3);
      expect(eventsOf([response as Message])).toEqual(["PUT a", "DELETE a", "PUT b"]);
      expect(revisionOf(response as Message)).toBe(now);
      const [, deletion] = (response as Message).events;
      expect(deletion?.kv).toMatchObject({
        ...{ modRevision: String(first + 1), createRevision: "0", version: "0", lease: "0" },
        value: key(""),
      });
      const later = await at.put("a");
      expect(revisionOf(await watch.next())).toBe(later);
      watch.close();
    });

    test("a batch of the past holds a thousand revisions at most", async () => {
      const at = scene();
      const first = await at.put("k");
      for (let left = 2299; left > 0; left -= 100) {
        await Promise.all(Array.from({ length: Math.min(100, left) }, () => at.put("k")));
      }
      const watch = at.watch();
      await watch.create({ startRevision: first });
      const responses = await watch.take(2300);
      expect(responses.length).toBeGreaterThanOrEqual(3);
      for (const { events } of responses) expect(events.length).toBeLessThanOrEqual(1000);
      const revisions = responses.flatMap(({ events }) => events.map(({ kv }) => kv.modRevision));
      expect(revisions).toEqual(Array.from({ length: 2300 }, (_, at) => String(first + at)));
      watch.close();
    });

    test("a start in the future is silent until then, and so is progress", async () => {
      const at = scene();
      const now = await at.put("a");
      const watch = at.watch();
      await watch.create({ startRevision: now + 3, progressNotify: true });
      await at.put("a");
      await at.put("a");
      watch.inbox.send(PROGRESS);
      await watch.expectSilence();
      const revision = await at.put("b");
      const response = await watch.next();
      expect([eventsOf([response]), revisionOf(response)]).toEqual([["PUT b"], revision]);
      watch.inbox.send(PROGRESS);
      expect(await watch.next()).toMatchObject({ watchId: "-1", events: [] });
      watch.close();
    });

    test("of what was compacted there is a cancellation without a revision", async () => {
      const at = scene();
      const first = await at.put("a");
      await at.put("a");
      const tombstone = await at.delete("a");
      await at.put("b");
      await at.compact(tombstone);
      const watch = at.watch();
      expect(await watch.create({ startRevision: first })).toMatchObject({
        ...{ created: true, canceled: false, watchId: "0", compactRevision: "0" },
      });
      const canceled = await watch.next();
      expect(canceled).toMatchObject({
        ...{ created: false, canceled: true, watchId: "0", cancelReason: "" },
        compactRevision: String(tombstone),
      });
      expect(revisionOf(canceled)).toBe(0);
      // The client cancels what it was told is gone, and is answered.
      watch.cancel(0);
      expect(await watch.next()).toMatchObject({ canceled: true, watchId: "0" });
      watch.cancel(0);
      // At the compaction itself everything is there, the tombstone too.
      await watch.create({ startRevision: tombstone });
      expect(eventsOf(await watch.take(2))).toEqual(["DELETE a", "PUT b"]);
      watch.close();
    });

    test("a predecessor is shown when asked for, and when it is not compacted", async () => {
      const at = scene();
      await at.put("a", "1");
      const second = await at.put("a", "2");
      const third = await at.put("a", "3");
      const fourth = await at.put("a", "4");
      await at.delete("a");
      await at.put("a", "5");
      await at.compact(third);
      const watch = at.watch();
      await watch.create({ startRevision: third, prevKv: true });
      const [response] = await watch.take(4);
      const shown = response?.events.map(({ prevKv }) => prevKv?.value.toString() ?? null);
      expect(shown).toEqual([null, "3", "4", null]);
      expect(response?.events[1]?.prevKv?.modRevision).toBe(String(third));
      expect([second, fourth]).toEqual([third - 1, third + 1]);
      await at.put("a", "6");
      expect((await watch.next()).events[0]?.prevKv?.value.toString()).toBe("5");
      watch.close();
    });

    test("all changes of a revision come in one response", async () => {
      const at = scene();
      const watch = at.watch();
      await watch.create();
      const revision = await at.putAll(["c", "a", "b"]);
      const response = await watch.next();
      expect(eventsOf([response])).toEqual(["PUT c", "PUT a", "PUT b"]);
      expect(revisionOf(response)).toBe(revision);
      watch.close();
    });

    test("filters leave events out, and responses that would be empty", async () => {
      const at = scene();
      const watch = at.watch();
      await watch.create({ filters: ["NOPUT"] });
      await watch.create({ filters: ["NODELETE"] });
      await watch.create({ filters: ["NOPUT", "NODELETE"] });
      await at.put("a");
      expect(await watch.next()).toMatchObject({ watchId: "1", events: [{ type: "PUT" }] });
      await at.delete("a");
      expect(await watch.next()).toMatchObject({ watchId: "0", events: [{ type: "DELETE" }] });
      await watch.expectSilence();
      watch.close();
    });

    test("watchers of one key are all told", async () => {
      const at = scene();
      const watch = at.watch();
      for (let id = 0; id < 5; id++) await watch.create({ key: at.key("a"), rangeEnd: key("") });
      await at.put("b");
      await at.put("a");
      const told = (await watch.take(5)).map(({ watchId }) => watchId).sort();
      expect(told).toEqual(["0", "1", "2", "3", "4"]);
      watch.close();
    });

    test("a large revision comes in fragments for who asked for it, whole for others", async () => {
      const at = scene();
      const names = ["a", "b", "c", "d"];
      const value = Buffer.alloc(350_000, 120);
      await at.putAll(names, value);
      const watch = at.watch();
      await watch.create({ fragment: true, prevKv: true });
      const revision = await at.putAll(names, value);
      const pieces = await watch.take(4);
      expect(pieces.length).toBeGreaterThan(1);
      expect(pieces.map(({ fragment }) => fragment)).toEqual(
        pieces.map((_, index) => index < pieces.length - 1),
      );
      expect(eventsOf(pieces)).toEqual(names.map((name) => `PUT ${name}`));
      expect(new Set(pieces.map(revisionOf))).toEqual(new Set([revision]));
      const whole = at.watch();
      await whole.create({ prevKv: true });
      await at.putAll(names, value);
      const response = await whole.next();
      expect([response.events.length, response.fragment]).toEqual([4, false]);
      watch.close();
      whole.close();
    });

    test("a cancelled watcher says so once, an unknown one has no answer", async () => {
      const at = scene();
      const watch = at.watch();
      await watch.create();
      const revision = await at.put("a");
      await watch.next();
      watch.cancel(99);
      watch.cancel(0);
      const canceled = await watch.next();
      expect(canceled).toMatchObject({
        ...{ canceled: true, created: false, watchId: "0", cancelReason: "" },
        compactRevision: "0",
      });
      expect(revisionOf(canceled)).toBe(revision);
      watch.cancel(0);
      await at.put("a");
      await watch.expectSilence();
      expect((await watch.create({ watchId: 99 })).watchId).toBe("99");
      watch.close();
    });

    test("a client that sends no more goes on seeing events", async () => {
      const at = scene();
      const watch = at.watch();
      await watch.create();
      watch.inbox.halfClose();
      await at.put("a");
      expect(eventsOf([await watch.next()])).toEqual(["PUT a"]);
      await at.put("b");
      expect(eventsOf([await watch.next()])).toEqual(["PUT b"]);
      expect(watch.inbox.ended).toBe(false);
      watch.close();
    });

    test("a request that asks for nothing is passed over", async () => {
      const at = scene();
      const watch = at.watch();
      watch.inbox.send({});
      expect((await watch.create()).created).toBe(true);
      watch.close();
    });
  });

  describe("progress", () => {
    test("asked for is told of the whole stream, if there is a watcher", async () => {
      const at = scene();
      const watch = at.watch();
      watch.inbox.send(PROGRESS);
      await watch.expectSilence();
      await watch.create();
      await watch.create();
      const revision = await at.put("elsewhere", "", { key: key("elsewhere") });
      watch.inbox.send(PROGRESS);
      const mark = await watch.next();
      expect(mark).toMatchObject({ watchId: "-1", events: [], created: false, canceled: false });
      expect(revisionOf(mark)).toBe(revision);
      watch.close();
    });

    test("comes behind every event up to its revision", async () => {
      const at = scene();
      const watch = at.watch();
      await watch.create();
      const puts = Array.from({ length: 300 }, async (_, index) => {
        if (index % 10 === 0) watch.inbox.send(PROGRESS);
        await at.put(`k${index}`);
      });
      const responses = await watch.take(300);
      await Promise.all(puts);
      let seen = 0;
      for (const response of responses) {
        const { events, watchId } = response;
        if (watchId !== "-1") seen = Number(events.at(-1)?.kv.modRevision);
        else expect(revisionOf(response)).toBeGreaterThanOrEqual(seen);
        if (events.length > 0) {
          const marks = responses.slice(0, responses.indexOf(response));
          const marked = Math.max(
            0,
            ...marks.filter((one) => one.watchId === "-1").map(revisionOf),
          );
          expect(Number(events[0]?.kv.modRevision)).toBeGreaterThan(marked);
        }
      }
      watch.close();
    });

    test("is told from time to time to who asked for it, and was told nothing else", async () => {
      const at = scene();
      const watch = at.watch();
      await watch.create({ progressNotify: true });
      await watch.create();
      const begun = performance.now();
      for (const _ of [1, 2, 3]) {
        expect(await watch.next()).toMatchObject({ watchId: "0", events: [], created: false });
      }
      const intervalMs = (performance.now() - begun) / 3;
      expect(intervalMs).toBeGreaterThan(PROGRESS_MS / 2);
      // A watcher that is told something all the time needs no marks.
      let marks = 0;
      watch.inbox.onMessage = ({ events }) => {
        if (events.length === 0) marks++;
      };
      const until = performance.now() + 5 * PROGRESS_MS;
      while (performance.now() < until) await at.put("a");
      expect(marks).toBeLessThanOrEqual(1);
      watch.close();
    });
  });

  describe("lease", () => {
    test("a time too short is raised, one too long refused, an id in use, too", async () => {
      const at = scene();
      for (const [TTL, raised] of [
        [-5, "2"],
        [0, "2"],
        [1, "2"],
        [2, "2"],
        [3, "3"],
        [9_000_000_000, "9000000000"],
      ] as const) {
        const granted = await at.grant(TTL);
        expect(granted.TTL).toBe(raised);
        expect(BigInt(granted.ID)).toBeGreaterThan(0n);
      }
      const refusal = (TTL: number, ID: string) =>
        client.refusal("etcdserverpb.Lease/LeaseGrant", { TTL, ID });
      await at.grant(100, "-77");
      const exists = { code: 9, text: "etcdserver: lease already exists" };
      expect(await refusal(100, "-77")).toEqual(exists);
      const tooLarge = { code: 11, text: "etcdserver: too large lease TTL" };
      expect(await refusal(9_000_000_001, "0")).toEqual(tooLarge);
      expect(await refusal(9_000_000_001, "-77")).toEqual(tooLarge);
    });

    test("renewals are answered in order, an unknown lease with 0", async () => {
      const at = scene();
      const { ID } = await at.grant(50);
      const stream = client.duplex("etcdserverpb.Lease/LeaseKeepAlive");
      const asked = [ID, "4242", ID, "4243", ID];
      for (const one of asked) stream.send({ ID: one });
      stream.halfClose();
      await stream.until("its end", () => stream.ended);
      expect(stream.messages.map((answer) => [answer.ID, answer.TTL])).toEqual(
        asked.map((one) => [one, one === ID ? "50" : "0"]),
      );
      expect(Number(stream.messages[0]?.header.revision)).toBeGreaterThan(0);
    });

    test("what is left is told in whole seconds, of an unknown one -1", async () => {
      const at = scene();
      const { ID } = await at.grant(50, "5151");
      const revision = await at.put("b", "", { lease: ID });
      await at.put("a", "", { lease: ID });
      const life = await at.life(ID, true);
      expect(life).toMatchObject({ ID, TTL: "49", grantedTTL: "50" });
      expect(life.keys.map(String).sort()).toEqual([at.key("a"), at.key("b")].map(String));
      expect((await at.life(ID)).keys).toEqual([]);
      expect(revisionOf(life)).toBe(revision + 1);
      const unknown = await at.life("4242", true);
      expect(unknown).toMatchObject({ ID: "4242", TTL: "-1", grantedTTL: "0", keys: [] });
      expect(revisionOf(unknown)).toBe(revision + 1);
    });

    test("leases are listed by what is left of them", async () => {
      const at = scene();
      const ids: string[] = [];
      for (const TTL of [700, 500, 600]) ids.push((await at.grant(TTL)).ID);
      const { leases } = await client.unary("etcdserverpb.Lease/LeaseLeases");
      const own = leases.map(({ ID }) => ID).filter((ID) => ids.includes(ID));
      expect(own).toEqual([ids[1], ids[2], ids[0]] as string[]);
    });

    test("a revocation deletes its keys in one revision, in their order", async () => {
      const at = scene();
      const { ID } = await at.grant(50);
      for (const name of ["c", "a", "b", "moved", "freed"]) await at.put(name, "", { lease: ID });
      await at.put("moved", "", { lease: (await at.grant(50)).ID });
      const last = await at.put("freed");
      const watch = at.watch();
      await watch.create();
      const answer = await client.unary("etcdserverpb.Lease/LeaseRevoke", { ID });
      expect(revisionOf(answer)).toBe(last + 1);
      const response = await watch.next();
      expect(eventsOf([response])).toEqual(["DELETE a", "DELETE b", "DELETE c"]);
      expect(revisionOf(response)).toBe(last + 1);
      expect(await client.refusal("etcdserverpb.Lease/LeaseRevoke", { ID })).toEqual({
        code: 5,
        text: "etcdserver: requested lease not found",
      });
      expect((await at.life(ID)).TTL).toBe("-1");
      const { ID: empty } = await at.grant(50);
      expect(revisionOf(await client.unary("etcdserverpb.Lease/LeaseRevoke", { ID: empty }))).toBe(
        last + 1,
      );
      watch.close();
    });

    test("a put names a lease that exists", async () => {
      const at = scene();
      const request = { key: at.key("a"), lease: "4242" };
      expect(await client.refusal("etcdserverpb.KV/Put", request)).toEqual({
        code: 5,
        text: "etcdserver: requested lease not found",
      });
    });

    test("one that nobody renews ends with its keys, and is renewed no more", async () => {
      const at = scene();
      const { ID } = await at.grant(2);
      await at.put("a", "", { lease: ID });
      await at.put("b", "", { lease: ID });
      const watch = at.watch();
      await watch.create();
      const response = await watch.next();
      expect(eventsOf([response])).toEqual(["DELETE a", "DELETE b"]);
      const stream = client.duplex("etcdserverpb.Lease/LeaseKeepAlive");
      stream.send({ ID });
      expect(await stream.next()).toMatchObject({ ID, TTL: "0" });
      stream.send({ ID });
      expect(await stream.next()).toMatchObject({ ID, TTL: "0" });
      stream.cancel();
      watch.close();
    });
  });
});
