/** A peer whose bulk connection does not move, over real sockets with real kernel buffers. */
import { expect, test } from "bun:test";
import type { Socket } from "bun";
import { MIB } from "../../../src/base/units.ts";
import { until } from "../until.ts";
import { append, heartbeat, ID, introduce, startMember } from "./members.ts";

interface Proxy {
  readonly url: string;
  /** Connections in the order in which they came; the lane's name is the order of the dials. */
  readonly accepted: Socket<Side>[];
  stop(): void;
}

interface Side {
  other: Socket<Side> | undefined;
  held: Uint8Array[];
}

/** Forwards bytes to `port`; a test may pause one of its sockets. */
function proxyTo(port: number): Proxy {
  const accepted: Socket<Side>[] = [];
  const forward = (socket: Socket<Side>): void => {
    const { other, held } = socket.data;
    while (other !== undefined && held.length > 0) {
      const bytes = held[0] as Uint8Array;
      const sent = Math.max(0, other.write(bytes));
      if (sent < bytes.length) {
        held[0] = bytes.subarray(sent);
        return;
      }
      held.shift();
    }
  };
  const handlers = {
    data(socket: Socket<Side>, bytes: Uint8Array): void {
      socket.data.held.push(bytes);
      forward(socket);
    },
    drain(socket: Socket<Side>): void {
      if (socket.data.other !== undefined) forward(socket.data.other);
    },
    close(socket: Socket<Side>): void {
      socket.data.other?.end();
    },
  };
  const server = Bun.listen<Side>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      ...handlers,
      open(socket) {
        socket.data = { other: undefined, held: [] };
        accepted.push(socket);
        void Bun.connect<Side>({
          hostname: "127.0.0.1",
          port,
          data: { other: socket, held: [] },
          socket: handlers,
        }).then((other) => {
          socket.data.other = other;
          forward(socket);
        });
      },
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, accepted, stop: () => server.stop(true) };
}

test("64 MB of appends that do not move keep no heartbeat waiting", async () => {
  const [a, b] = [await startMember(1, { bulkBytesMax: 64 * MIB }), await startMember(2)];
  const proxy = proxyTo(Number(new URL(b.url).port));
  introduce(a, { ...b, url: proxy.url });
  await until(() => a.peers.status().every(({ up }) => up), "both lanes are up");
  expect(proxy.accepted).toHaveLength(2);
  const bulk = proxy.accepted[1] as Socket<Side>;
  bulk.pause();

  let index = 0;
  const pending = (): number => a.peers.status()[0]?.pendingBytes ?? 0;
  while (a.seen.unreachable.length === 0) {
    a.peers.send(1, [append(1, 2, ++index, MIB)]);
    await new Promise((resolve) => setImmediate(resolve)); // sockets take what they take
  }
  expect(pending()).toBeGreaterThanOrEqual(64 * MIB);
  expect(pending()).toBeLessThan(66 * MIB);
  expect(a.seen.unreachable).toEqual([ID(2)]);

  const latenciesMs: number[] = [];
  for (let round = 1; round <= 20; round++) {
    const sentMs = performance.now();
    a.peers.send(1, [heartbeat(1, 2, round)]);
    await until(() => b.seen.rounds.length === round, "the heartbeat");
    latenciesMs.push((b.seen.messages.at(-1)?.atMs ?? Number.NaN) - sentMs);
  }
  expect(pending()).toBeGreaterThanOrEqual(64 * MIB);
  latenciesMs.sort((x, y) => x - y);
  // The median: this machine may have better things to do than run this test.
  expect(latenciesMs[10]).toBeLessThan(50);

  // While all of it moves, through this one thread four times over, heartbeats still pass.
  bulk.resume();
  const appended = (): number => b.seen.messages.length - b.seen.rounds.length;
  const movingMs: number[] = [];
  while (appended() < index - 1) {
    const round = b.seen.rounds.length + 1;
    const sentMs = performance.now();
    a.peers.send(1, [heartbeat(1, 2, round)]);
    await until(() => b.seen.rounds.length === round, "a heartbeat beside appends");
    movingMs.push(performance.now() - sentMs);
  }
  movingMs.sort((x, y) => x - y);
  expect(movingMs[movingMs.length >> 1]).toBeLessThan(50);
  if (process.env["FIGURES"] !== undefined) {
    const figures = (ms: number[]): string => `p50 ${ms[ms.length >> 1]} max ${ms.at(-1)} ms`;
    console.log(`stalled: ${figures(latenciesMs)}; moving: ${figures(movingMs)}`);
  }
  expect(pending()).toBe(0);
  await a.stop();
  await b.stop();
  proxy.stop();
}, 15_000);
