import { expect, test } from "bun:test";
import { Turn } from "../../src/base/turn.ts";
import { Link, type LinkSocket } from "../../src/net/link.ts";
import { Network } from "../../src/net/network.ts";
import { ToyConnection } from "./toy-connection.ts";

class Sink implements LinkSocket {
  written: string[] = [];
  write(data: Uint8Array, offset: number, length: number): number {
    this.written.push(Buffer.from(data.subarray(offset, offset + length)).toString());
    return length;
  }
  shutdown(): void {}
  terminate(): void {}
  pause(): void {}
  resume(): void {}
}

test("the links of a turn are flushed by one task, each once", () => {
  const runs: (() => void)[] = [];
  const turn = new Turn((run) => runs.push(run));
  let tasks = 0;
  const after = turn.after.bind(turn);
  turn.after = (phase, task) => {
    tasks++;
    after(phase, task);
  };
  const network = new Network({ turn, nowMs: () => 0 });
  const traffic = { receivedBytes: 0, sentBytes: 0 };
  const sinks = [new Sink(), new Sink(), new Sink()];
  const links = sinks.map((sink) => new Link(network, traffic, sink, 1));
  for (const link of links) link.adopt(new ToyConnection());
  for (let round = 1; round <= 3; round++) {
    for (const link of links) {
      link.receive(Buffer.from("a"));
      link.receive(Buffer.from("b"));
    }
    runs.shift()?.();
    expect(tasks).toBe(round);
    for (const sink of sinks) expect(sink.written.length).toBe(round);
  }
  expect(sinks.map((sink) => sink.written.join(""))).toEqual(["ababab", "ababab", "ababab"]);
});
