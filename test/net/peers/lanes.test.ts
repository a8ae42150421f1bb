/** Connections that are refused, lost, stalled and healed, in toy time over pipes in memory. */
import { describe, expect, test } from "bun:test";
import type { MemberId } from "../../../src/raft/types.ts";
import { until } from "../until.ts";
import { append, heartbeat, ID, introduce, pipedMember } from "./members.ts";
import { PipeNet, ToyTimers, turn } from "./pipes.ts";

function world(seed: number): { timers: ToyTimers; net: PipeNet } {
  const timers = new ToyTimers();
  const net = new PipeNet(timers, seed);
  timers.ticks.push((nowMs) => net.tick(nowMs));
  return { timers, net };
}

type Piped = ReturnType<typeof pipedMember>;

const isUp = (member: Piped): boolean =>
  member.peers.status().every((status) => status.up && status.heard);

describe("lanes", () => {
  test("messages cross in pieces of any size", async () => {
    for (const seed of [1, 2, 3]) {
      const { timers, net } = world(seed);
      const [a, b] = [pipedMember(1, net, timers), pipedMember(2, net, timers)];
      introduce(a, b);
      await turn();
      expect(isUp(a) && isUp(b)).toBe(true);
      for (let i = 1; i <= 40; i++) {
        a.peers.send(1, [append(1, 2, i, 20_000 * (i % 4)), heartbeat(1, 2, i)]);
      }
      await turn();
      const sizes = b.seen.messages.flatMap(({ message }) =>
        message.type === "append" ? message.entries.map(({ payload }) => payload.length) : [],
      );
      expect(sizes).toEqual(Array.from({ length: 40 }, (_, i) => 20_000 * ((i + 1) % 4)));
      expect(b.seen.rounds).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
      await a.peers.stop();
      await b.peers.stop();
      expect(net.open).toEqual([]);
    }
  });

  test("two connections lead each way", async () => {
    const { timers, net } = world(4);
    const [a, b] = [pipedMember(1, net, timers), pipedMember(2, net, timers)];
    introduce(a, b);
    await turn();
    expect(net.open.map(({ url }) => url).sort()).toEqual([a.url, a.url, b.url, b.url]);
  });

  test("a peer that is not there is tried ever more rarely, never together", async () => {
    const { timers, net } = world(5);
    const a = pipedMember(1, net, timers);
    a.peers.setPeers([{ id: ID(2), urls: ["http://nobody:1"] }]);
    await timers.pass(30_000);
    // Two lanes: 50, 100, … 1600 ms and then 3 s, each a fifth more or less.
    expect(net.dialsMs.length).toBeGreaterThan(2 * 12);
    expect(net.dialsMs.length).toBeLessThan(2 * 18);
    const late = net.dialsMs.filter((atMs) => atMs > 20_000);
    for (let i = 2; i < late.length; i++) {
      const gapMs = (late[i] as number) - (late[i - 2] as number);
      expect(gapMs).toBeGreaterThan(1_900);
    }
    expect(a.log.lines).toHaveLength(2); // not one a try
    expect(a.peers.status()[0]?.reason).toBe("unhealthy: refused");
  });

  test("a dial without an answer ends, and is tried again", async () => {
    const { timers, net } = world(6);
    const [a, b] = [pipedMember(1, net, timers), pipedMember(2, net, timers)];
    net.blackHole = true;
    a.peers.setPeers([{ id: ID(2), urls: [b.url] }]);
    await timers.pass(4_900);
    expect(net.dialsMs).toHaveLength(2);
    await timers.pass(300);
    expect(a.peers.status()[0]?.reason).toBe("no answer in 5000 ms");
    net.blackHole = false;
    b.peers.setPeers([{ id: ID(1), urls: [a.url] }]);
    await timers.pass(6_000);
    expect(isUp(a) && isUp(b)).toBe(true);
  });

  test("a peer that accepts and never speaks is given up too", async () => {
    const { timers, net } = world(7);
    const [a, b] = [pipedMember(1, net, timers), pipedMember(2, net, timers)];
    net.onPipe = (pipe) => {
      pipe.stalled = true;
    };
    a.peers.setPeers([{ id: ID(2), urls: [b.url] }]);
    await timers.pass(5_100);
    expect(a.peers.status()[0]?.reason).toBe("no answer in 5000 ms");
    expect(a.seen.unreachable).toEqual([]); // it was never up
    await a.peers.stop();
  });

  test("a half-open connection is found by a ping, told once and replaced", async () => {
    const { timers, net } = world(8);
    const [a, b] = [pipedMember(1, net, timers), pipedMember(2, net, timers)];
    introduce(a, b);
    await turn();
    for (const pipe of net.open) pipe.stalled = true;
    await timers.pass(8_500);
    expect(a.peers.status()[0]?.up).toBe(true);
    await timers.pass(1_000);
    expect(a.log.lines.join()).toContain("keepalive ping not answered");
    expect(a.seen.unreachable).toEqual([ID(2)]);
    await timers.pass(500);
    expect(isUp(a) && isUp(b)).toBe(true);
    a.peers.send(1, [append(1, 2, 1, 10)]);
    await turn();
    expect(b.seen.messages).toHaveLength(1);
    // The older streams, whose other ends are gone, were ended when the new ones came.
    expect(b.peers.received.refused).toMatchObject({ malformed: 0, corrupt: 0 });
  });

  test("idle connections stay", async () => {
    const { timers, net } = world(9);
    const [a, b] = [pipedMember(1, net, timers), pipedMember(2, net, timers)];
    introduce(a, b);
    await turn();
    await timers.pass(120_000);
    expect(net.dialsMs).toHaveLength(4);
    expect(isUp(a) && isUp(b)).toBe(true);
  });

  test("how far away a peer is, is measured on the control lane", async () => {
    const { timers, net } = world(13);
    const seen: [MemberId, number][] = [];
    const a = pipedMember(1, net, timers, { observeRoundTripMs: (...trip) => seen.push(trip) });
    const b = pipedMember(2, net, timers);
    introduce(a, b);
    await turn();
    expect(a.peers.status()[0]?.roundTripMs).toBeUndefined();
    const toB = net.open.filter(({ url }) => url === b.url);
    for (let round = 1; round <= 65; round++) {
      a.peers.send(1, [heartbeat(1, 2, round)]);
      b.peers.send(1, [heartbeat(2, 1, round)]);
      if (round === 60) for (const pipe of toB) pipe.stalled = true;
      await timers.pass(100);
    }
    expect(seen).toEqual([]); // the ping of 6.0 s is on its way
    for (const pipe of toB) pipe.stalled = false;
    for (const pipe of toB) pipe.tick(timers.nowMs());
    await turn();
    expect(seen).toEqual([[ID(2), 500]]);
    expect(a.peers.status()[0]?.roundTripMs).toBe(500);
  });

  test("who is called by a peer dials it at once, whatever its own wait is", async () => {
    const { timers, net } = world(10);
    const a = pipedMember(1, net, timers);
    a.peers.setPeers([{ id: ID(2), urls: ["http://member-2:1"] }]);
    await timers.pass(20_000); // its waits are seconds by now
    const b = pipedMember(2, net, timers);
    introduce(a, b);
    await turn();
    expect(isUp(a)).toBe(true);
  });

  test("a byte changed on the way ends the stream; nothing wrong is delivered", async () => {
    const { timers, net } = world(11);
    const [a, b] = [pipedMember(1, net, timers), pipedMember(2, net, timers)];
    introduce(a, b);
    await turn();
    const bulk = net.open.filter(({ url }) => url === b.url)[1];
    if (bulk === undefined) throw new Error("no bulk lane");
    let left = 1;
    bulk.spoil = (bytes) => {
      // Far from every frame's head, so that only the checksum can tell.
      if (bytes.length > 2_000 && left-- > 0) bytes[1_000] = (bytes[1_000] as number) ^ 4;
    };
    a.peers.send(1, [append(1, 2, 1, 15_000)]);
    await turn();
    expect(b.peers.received.refused.corrupt).toBe(1);
    expect(b.seen.messages).toEqual([]);
    expect(a.seen.unreachable).toEqual([ID(2)]);
    await timers.pass(300);
    expect(isUp(a) && isUp(b)).toBe(true);
    a.peers.send(1, [append(1, 2, 1, 15_000)]);
    await turn();
    expect(b.seen.messages.map(({ message }) => message)).toEqual([append(1, 2, 1, 15_000)]);
  });

  test("a peer that does not read costs the bound, and its heartbeats still pass", async () => {
    const { timers, net } = world(12);
    const bulkBytesMax = 4 * 1024 * 1024;
    const a = pipedMember(1, net, timers, { bulkBytesMax });
    const b = pipedMember(2, net, timers);
    introduce(a, b);
    await turn();
    const bulk = net.open.filter(({ url }) => url === b.url)[1];
    if (bulk === undefined) throw new Error("no bulk lane");
    bulk.stalled = true;
    for (let i = 1; i <= 100; i++) a.peers.send(1, [append(1, 2, i, 100_000), heartbeat(1, 2, i)]);
    await turn();
    expect(b.seen.rounds).toHaveLength(100);
    const status = a.peers.status()[0];
    expect(status?.pendingBytes).toBeGreaterThanOrEqual(bulkBytesMax);
    expect(status?.pendingBytes).toBeLessThan(bulkBytesMax + 110_000);
    expect(status?.sent.dropped).toBe(100 - Math.ceil(bulkBytesMax / 100_100));
    expect(a.seen.unreachable).toEqual([ID(2)]);
    bulk.stalled = false;
    bulk.tick(timers.nowMs());
    await until(() => a.peers.status()[0]?.pendingBytes === 0, "all is on its way");
    a.peers.send(1, [append(1, 2, 101, 10)]);
    await turn();
    expect(b.seen.messages.at(-1)?.message).toEqual(append(1, 2, 101, 10));
  });
});
