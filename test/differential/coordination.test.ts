/**
 * Locks and elections: the same expectations for the etcd of our version and for us, over a
 * stranger's client, with etcdctl's own recipes in the same queues.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { checkFencing, FencedResource } from "../check/fencing.ts";
import type { Hold } from "../check/history.ts";
import { startWitness, witness } from "../support/etcd-witness.ts";
import {
  type CallOptions,
  GrpcJsClient,
  type LeaderKey,
  type Message,
} from "../support/grpc-js.ts";
import {
  isInstalled,
  type Launcher,
  type ServerProcess,
  startAether,
  until,
} from "../support/processes.ts";
import { Direction, TcpProxy } from "../support/proxy.ts";

const SERVERS: readonly (readonly [name: string, launch: Launcher, skip: boolean])[] = [
  ["etcd 3.7.1", startWitness, witness === undefined],
  ["aether", startAether, false],
];

const ETCDCTL = witness?.etcdctl ?? "/usr/bin/etcdctl";
const hasEtcdctl = await isInstalled(ETCDCTL);

const UNKNOWN = 2;
const CANCELLED = 1;
/** Its own clock tells the client, or a server that resets the call: whoever is first. */
const DEADLINE = /^[14] /;
const LEASE_SECONDS = 100;
/** The shortest that a default server grants. */
const SHORT_SECONDS = 2;

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const revisionOf = ({ header }: Message): number => Number(header.revision);

describe.each(SERVERS)("%s", (_name, launch, skip) => {
  if (skip) return;
  let server: ServerProcess;
  let client: GrpcJsClient;
  let scenes = 0;

  beforeAll(async () => {
    server = await launch();
    client = new GrpcJsClient(server.endpoint);
  });
  afterAll(async () => {
    client?.close();
    await server?.[Symbol.asyncDispose]();
  });

  const newName = (): string => `q${++scenes}`;

  async function grant(TTL = LEASE_SECONDS): Promise<string> {
    return (await client.unary("etcdserverpb.Lease/LeaseGrant", { TTL })).ID;
  }

  /** A lease whose id is a small number, so that keys are short. */
  async function lease(): Promise<string> {
    const ID = String(1000 + ++scenes);
    await client.unary("etcdserverpb.Lease/LeaseGrant", { TTL: LEASE_SECONDS, ID });
    return ID;
  }

  const hexOf = (ID: string): string => BigInt(ID).toString(16);
  const revoke = (ID: string) => client.unary("etcdserverpb.Lease/LeaseRevoke", { ID });
  const lock = (name: string, ID: string, options?: CallOptions, by = client): Promise<Message> =>
    by.unary("v3lockpb.Lock/Lock", { name: bytes(name), lease: ID }, options);
  const unlock = (key: Buffer) => client.unary("v3lockpb.Lock/Unlock", { key });
  const campaign = (name: string, ID: string, value: string): Promise<Message> =>
    client.unary("v3electionpb.Election/Campaign", {
      ...{ name: bytes(name), lease: ID, value: bytes(value) },
    });
  const resign = (leader: LeaderKey) => client.unary("v3electionpb.Election/Resign", { leader });
  const leaderOf = (name: string) =>
    client.unary("v3electionpb.Election/Leader", { name: bytes(name) });

  /** "key value" of each key in the queue, the oldest first. */
  async function queue(name: string): Promise<string[]> {
    const { kvs } = await client.unary("etcdserverpb.KV/Range", {
      ...{ key: bytes(`${name}/`), rangeEnd: bytes(`${name}0`) },
      ...{ sortTarget: "CREATE", sortOrder: "ASCEND" },
    });
    return kvs.map(({ key, value }) => `${key.toString("latin1")} ${value}`.trim());
  }

  async function present(): Promise<number> {
    return revisionOf(await client.unary("etcdserverpb.KV/Range", { key: bytes("nobody's") }));
  }

  /** Waits until so many stand in the queue. */
  function queueLength(name: string, length: number): Promise<void> {
    return until(`${length} in ${name}`, async () => (await queue(name)).length === length);
  }

  /** How a call fails: "code text". */
  async function failure(call: Promise<Message>): Promise<string> {
    try {
      await call;
    } catch (error) {
      const { code, details } = error as { code: number; details: string };
      return `${code} ${details}`;
    }
    throw new Error("the call was answered");
  }

  describe("a lock", () => {
    test("is a key with the name of its lease, and free when that is deleted", async () => {
      const name = newName();
      const ID = await lease();
      const before = await present();
      const held = await lock(name, ID);
      expect(held.key.toString()).toBe(`${name}/${hexOf(ID)}`);
      expect(revisionOf(held)).toBe(before + 1);
      const again = await lock(name, ID);
      expect([again.key.toString(), revisionOf(again)]).toEqual([held.key.toString(), before + 1]);
      expect(revisionOf(await unlock(held.key))).toBe(before + 2);
      expect(revisionOf(await unlock(held.key))).toBe(before + 2);
    });

    test("without a lease gets one of a minute", async () => {
      const name = newName();
      const { key } = await lock(name, "0");
      const ID = BigInt(`0x${key.toString().split("/")[1]}`).toString();
      const life = await client.unary("etcdserverpb.Lease/LeaseTimeToLive", { ID });
      expect(life.grantedTTL).toBe("60");
      await revoke(ID);
      expect(await queue(name)).toEqual([]);
    });

    test("of a lease with a negative id has its sign in the key", async () => {
      const ID = String(-2000 - ++scenes);
      await client.unary("etcdserverpb.Lease/LeaseGrant", { TTL: LEASE_SECONDS, ID });
      const name = newName();
      const { key } = await lock(name, ID);
      expect(key.toString()).toBe(`${name}/-${(-BigInt(ID)).toString(16)}`);
    });

    test("of a lease that is not there is refused, as is a key that is not given", async () => {
      const text = `${UNKNOWN} etcdserver: requested lease not found`;
      expect(await failure(lock(newName(), "424242"))).toBe(text);
      const noKey = `${UNKNOWN} etcdserver: key is not provided`;
      expect(await failure(unlock(bytes("")))).toBe(noKey);
    });

    test("goes to those who wait in the order in which they came", async () => {
      const name = newName();
      const { key } = await lock(name, await lease());
      const order: number[] = [];
      const calls: Promise<void>[] = [];
      for (const index of [1, 2, 3, 4, 5, 6, 7, 8]) {
        const call = lock(name, await lease()).then(async (held) => {
          order.push(index);
          await unlock(held.key);
        });
        calls.push(call);
        await queueLength(name, index + 1);
      }
      await unlock(key);
      await Promise.all(calls);
      expect(order).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
      expect(await queue(name)).toEqual([]);
    });

    test("is not got by who stops waiting: his key goes with him", async () => {
      const name = newName();
      const [first, second] = [await lease(), await lease()];
      const { key } = await lock(name, first);
      const before = await present();
      const gaveUp = await failure(lock(name, second, { deadlineMs: 300 }));
      expect(gaveUp).toMatch(DEADLINE);
      await queueLength(name, 1);
      expect(await present()).toBe(before + 2);

      const abort = new AbortController();
      const cancelled = failure(lock(name, second, { signal: abort.signal }));
      await queueLength(name, 2);
      abort.abort();
      expect(await cancelled).toStartWith(`${CANCELLED} `);
      await queueLength(name, 1);
      expect(await present()).toBe(before + 4);

      using proxy = new TcpProxy({
        target: { hostname: "127.0.0.1", port: server.port },
        route: () => ({ there: new Direction(), back: new Direction() }),
      });
      const other = new GrpcJsClient(`127.0.0.1:${proxy.port}`);
      const lost = failure(lock(name, second, {}, other));
      await queueLength(name, 2);
      proxy.reset();
      await lost;
      other.close();
      await queueLength(name, 1);
      expect(await present()).toBe(before + 6);
      await unlock(key);
    });

    test("is not got by who lost his key while he waited", async () => {
      const name = newName();
      const [first, second, third] = [await lease(), await lease(), await lease()];
      const { key } = await lock(name, first);
      const deleted = failure(lock(name, second));
      await queueLength(name, 2);
      const ended = failure(lock(name, third));
      await queueLength(name, 3);
      await unlock(bytes(`${name}/${hexOf(second)}`));
      await revoke(third);
      await unlock(key);
      const expired = `${UNKNOWN} mutex: session is expired`;
      expect(await Promise.all([deleted, ended])).toEqual([expired, expired]);
    });

    test("is waited for over JSON, too, for as long as the client is there", async () => {
      const name = newName();
      const [first, second] = [await lease(), await lease()];
      const post = (ID: string, signal?: AbortSignal): Promise<Response> =>
        fetch(`http://${server.endpoint}/v3/lock/lock`, {
          method: "POST",
          body: JSON.stringify({ name: bytes(name).toString("base64"), lease: ID }),
          ...(signal === undefined ? {} : { signal }),
        });
      const held = (await (await post(first)).json()) as { key: string };
      expect(Buffer.from(held.key, "base64").toString()).toBe(`${name}/${hexOf(first)}`);
      const abort = new AbortController();
      const gaveUp = post(second, abort.signal).catch((error: Error) => error.name);
      await queueLength(name, 2);
      abort.abort();
      expect(await gaveUp).toBe("AbortError");
      await queueLength(name, 1);
      const waiting = post(second);
      await queueLength(name, 2);
      await unlock(bytes(`${name}/${hexOf(first)}`));
      expect((await waiting).status).toBe(200);
    });

    test("is freed when the lease of its holder ends", async () => {
      const name = newName();
      const short = await grant(SHORT_SECONDS);
      await lock(name, short);
      const next = await lease();
      const held = await lock(name, next);
      expect(await queue(name)).toEqual([held.key.toString()]);
    });

    test("gives tokens that fence: no two holders, none who comes late", async () => {
      const name = newName();
      const now = (): number => performance.now();
      const resource = new FencedResource(name, now);
      const holds: Hold[] = [];
      const work = async (worker: number): Promise<void> => {
        for (let round = 0; round < 10; round++) {
          const ID = await grant();
          const call = now();
          const { key } = await lock(name, ID);
          const acquired = now();
          const { kvs } = await client.unary("etcdserverpb.KV/Range", { key });
          const token = Number(kvs[0]?.createRevision);
          const who = `${worker}`;
          const hold = { id: `${worker}.${round}`, client: who, lock: name, token, call, acquired };
          holds.push({ ...hold, certainUntil: Number.POSITIVE_INFINITY });
          resource.access(who, token);
          (holds.find(({ id }) => id === hold.id) as Hold).certainUntil = now();
          await unlock(key);
          await revoke(ID);
        }
      };
      await Promise.all([0, 1, 2, 3, 4].map(work));
      expect(holds).toHaveLength(50);
      expect(checkFencing({ holds, accesses: resource.accesses })).toEqual([]);
    });
  });

  describe("an election", () => {
    test("is won by the oldest candidate, whose value is the leader's", async () => {
      const name = newName();
      const ID = await lease();
      const before = await present();
      expect(await failure(leaderOf(name))).toBe(`${UNKNOWN} election: no leader`);
      const { leader, ...won } = await campaign(name, ID, "one");
      expect(revisionOf(won as Message)).toBe(before + 1);
      expect(leader).toEqual({
        ...{ name: bytes(name), key: bytes(`${name}/${hexOf(ID)}`) },
        ...{ rev: String(before + 1), lease: ID },
      });
      // The same again changes nothing, another value is proclaimed.
      expect(revisionOf(await campaign(name, ID, "one"))).toBe(before + 1);
      expect(revisionOf(await campaign(name, ID, "two"))).toBe(before + 1);
      const told = await leaderOf(name);
      expect([told.kv.value.toString(), revisionOf(told)]).toEqual(["two", before + 2]);
      const said = await client.unary("v3electionpb.Election/Proclaim", {
        ...{ leader, value: bytes("three") },
      });
      expect(revisionOf(said)).toBe(before + 3);
      expect(await queue(name)).toEqual([`${name}/${hexOf(ID)} three`]);
      await resign(leader);
    });

    test("believes nobody who is not the leader any more", async () => {
      const name = newName();
      const { leader } = await campaign(name, await lease(), "one");
      const proclaim = (by: object): Promise<Message> =>
        client.unary("v3electionpb.Election/Proclaim", { leader: by, value: bytes("x") });
      const notLeader = `${UNKNOWN} election: not leader`;
      expect(await failure(proclaim({ ...leader, rev: "1" }))).toBe(notLeader);
      const before = await present();
      expect(revisionOf(await resign({ ...leader, rev: "1" }))).toBe(before);
      expect(await queue(name)).toHaveLength(1);
      expect(revisionOf(await resign(leader))).toBe(before + 1);
      expect(revisionOf(await resign(leader))).toBe(before + 1);
      expect(await failure(proclaim(leader))).toBe(notLeader);
    });

    test("says what is missing", async () => {
      const missing = `${UNKNOWN} "leader" field must be provided`;
      for (const method of ["Proclaim", "Resign"]) {
        expect(await failure(client.unary(`v3electionpb.Election/${method}`, {}))).toBe(missing);
        const empty = client.unary(`v3electionpb.Election/${method}`, { leader: {} });
        expect(await failure(empty)).toBe(`${UNKNOWN} etcdserver: key is not provided`);
      }
      const noLease = `${UNKNOWN} etcdserver: requested lease not found`;
      expect(await failure(campaign(newName(), "424242", ""))).toBe(noLease);
    });

    test("is watched: whoever leads, and whatever he proclaims", async () => {
      const name = newName();
      const seen = client.download("v3electionpb.Election/Observe", { name: bytes(name) });
      const first = await campaign(name, await lease(), "one");
      expect((await seen.next()).kv.value.toString()).toBe("one");
      const { leader } = first;
      const said = await client.unary("v3electionpb.Election/Proclaim", {
        ...{ leader, value: bytes("two") },
      });
      const proclaimed = await seen.next();
      expect([proclaimed.kv.value.toString(), revisionOf(proclaimed)]).toEqual([
        "two",
        revisionOf(said),
      ]);
      const second = campaign(name, await lease(), "other");
      await queueLength(name, 2);
      await resign(leader);
      expect((await seen.next()).kv.value.toString()).toBe("other");
      await resign((await second).leader);
      const third = await campaign(name, await lease(), "third");
      expect((await seen.next()).kv.value.toString()).toBe("third");
      await resign(third.leader);
      expect(seen.ended).toBe(false);
      seen.cancel();
    });

    test("is left by a candidate who stops waiting", async () => {
      const name = newName();
      const { leader } = await campaign(name, await lease(), "one");
      const before = await present();
      const ID = await lease();
      const gaveUp = client.unary(
        "v3electionpb.Election/Campaign",
        { name: bytes(name), lease: ID, value: bytes("two") },
        { deadlineMs: 300 },
      );
      expect(await failure(gaveUp)).toMatch(DEADLINE);
      await queueLength(name, 1);
      expect(await present()).toBe(before + 2);
      await resign(leader);
    });
  });

  describe.skipIf(!hasEtcdctl)("etcdctl", () => {
    /** Runs until it is ended; what it printed so far. */
    function etcdctl(...args: string[]) {
      const child = Bun.spawn([ETCDCTL, "--endpoints", server.endpoint, ...args], {
        ...{ stdout: "pipe", stderr: "inherit" },
      });
      const said = { text: "" };
      const reading = (async () => {
        for await (const chunk of child.stdout) said.text += Buffer.from(chunk).toString();
      })();
      return {
        said,
        interrupt: async (): Promise<void> => {
          child.kill("SIGINT");
          await child.exited;
          await reading;
        },
      };
    }

    test("waits for our lock, and we for its", async () => {
      const name = newName();
      const { key } = await lock(name, await lease());
      const ctl = etcdctl("lock", name);
      await queueLength(name, 2);
      const waiting = lock(name, await lease());
      await queueLength(name, 3);
      expect(ctl.said.text).toBe("");
      await unlock(key);
      await until("etcdctl has the lock", () => ctl.said.text.startsWith(`${name}/`));
      await ctl.interrupt();
      const mine = (await waiting).key;
      expect(await queue(name)).toEqual([mine.toString()]);
      await unlock(mine);
    });

    test("is elected after us, and we after it", async () => {
      const name = newName();
      const { leader } = await campaign(name, await lease(), "ours");
      const ctl = etcdctl("elect", name, "its");
      await queueLength(name, 2);
      const waiting = campaign(name, await lease(), "again");
      await queueLength(name, 3);
      await resign(leader);
      await until("etcdctl is elected", () => ctl.said.text.includes("its"));
      expect((await leaderOf(name)).kv.value.toString()).toBe("its");
      const listener = etcdctl("elect", "-l", name);
      await until("etcdctl listens", () => listener.said.text.includes("its"));
      await ctl.interrupt();
      await waiting;
      await until("etcdctl hears", () => listener.said.text.includes("again"));
      await listener.interrupt();
    });
  });
});
