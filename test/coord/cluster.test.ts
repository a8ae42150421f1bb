/** Locks and elections over a cluster: calls that wait at one member while others come and go. */
import { describe, expect, test } from "bun:test";
import { Cluster } from "../support/cluster.ts";
import { GrpcJsClient, type Message } from "../support/grpc-js.ts";
import { startAether, until } from "../support/processes.ts";

const UNAVAILABLE = 14;
const bytes = (text: string): Buffer => Buffer.from(text);

/** The few calls of a test, at one member. */
class Calls implements Disposable {
  readonly client: GrpcJsClient;

  constructor(endpoint: string) {
    this.client = new GrpcJsClient(endpoint);
  }

  async grant(ID: number): Promise<void> {
    await this.client.unary("etcdserverpb.Lease/LeaseGrant", { ID, TTL: 600 });
  }

  lock(lease: number): Promise<Message> {
    const request = { name: bytes("m"), lease };
    return this.client.unary("v3lockpb.Lock/Lock", request, { deadlineMs: 60_000 });
  }

  campaign(lease: number): Promise<Message> {
    const request = { name: bytes("m"), lease, value: bytes(`candidate ${lease}`) };
    return this.client.unary("v3electionpb.Election/Campaign", request, { deadlineMs: 60_000 });
  }

  async unlock(key: Buffer): Promise<void> {
    await this.client.unary("v3lockpb.Lock/Unlock", { key });
  }

  /** Waits until so many stand in the queue; their keys. */
  async queue(length: number): Promise<string[]> {
    let keys: string[] = [];
    const request = { key: bytes("m/"), rangeEnd: bytes("m0"), sortTarget: "CREATE" };
    await until(`${length} in the queue`, async () => {
      const { kvs } = await this.client.unary("etcdserverpb.KV/Range", request);
      keys = kvs.map(({ key }) => key.toString());
      return keys.length === length;
    });
    return keys;
  }

  [Symbol.dispose](): void {
    this.client.close();
  }
}

async function codeOf(call: Promise<unknown>): Promise<number> {
  try {
    await call;
  } catch (error) {
    return (error as { code: number }).code;
  }
  return 0;
}

const TIMEOUT_MS = 60_000;

describe("three members", () => {
  test(
    "a lock that is waited for at a follower is got though the leader dies",
    async () => {
      await using cluster = await Cluster.start({ kind: "aether", size: 3 });
      const [first, second] = await cluster.followers();
      using one = new Calls(first?.endpoint ?? "");
      using other = new Calls(second?.endpoint ?? "");
      for (const lease of [1, 2, 3]) await one.grant(lease);
      const { key } = await one.lock(1);
      const waiting = other.lock(2);
      await one.queue(2);
      const last = one.lock(3);
      await one.queue(3);
      await (await cluster.leader()).kill();
      await cluster.leader();
      await one.unlock(key);
      expect((await waiting).key.toString()).toBe("m/2");
      await one.unlock((await waiting).key);
      expect((await last).key.toString()).toBe("m/3");
    },
    TIMEOUT_MS,
  );

  test(
    "who waits at a member that ends keeps his place, and comes again at another one",
    async () => {
      await using cluster = await Cluster.start({ kind: "aether", size: 3 });
      const leader = await cluster.leader();
      const [first, second] = await cluster.followers();
      using at = new Calls(leader.endpoint);
      using one = new Calls(first?.endpoint ?? "");
      using other = new Calls(second?.endpoint ?? "");
      for (const lease of [1, 2, 3]) await at.grant(lease);
      const { leader: won } = await at.campaign(1);
      const waiting = codeOf(one.campaign(2));
      await at.queue(2);
      const behind = at.campaign(3);
      await at.queue(3);
      await first?.stop();
      expect(await waiting).toBe(UNAVAILABLE);
      expect(await at.queue(3)).toEqual(["m/1", "m/2", "m/3"]);
      const again = other.campaign(2);
      await at.client.unary("v3electionpb.Election/Resign", { leader: won });
      const elected = (await again).leader;
      expect(elected.key.toString()).toBe("m/2");
      await at.client.unary("v3electionpb.Election/Resign", { leader: elected });
      expect((await behind).leader.key.toString()).toBe("m/3");
    },
    TIMEOUT_MS,
  );
});

test(
  "a lock is held over a crash of the server, and waited for by who comes again",
  async () => {
    await using server = await startAether();
    const calls = new Calls(server.endpoint);
    for (const lease of [1, 2]) await calls.grant(lease);
    const { key } = await calls.lock(1);
    const waiting = codeOf(calls.lock(2));
    await calls.queue(2);
    await server.kill();
    expect(await waiting).toBe(UNAVAILABLE);
    calls[Symbol.dispose]();
    await server.restart();
    using after = new Calls(server.endpoint);
    const again = after.lock(2);
    expect(await after.queue(2)).toEqual(["m/1", "m/2"]);
    await after.unlock(key);
    expect((await again).key.toString()).toBe("m/2");
  },
  TIMEOUT_MS,
);
