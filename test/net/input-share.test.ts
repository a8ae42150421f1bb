import { expect, test } from "bun:test";
import { Turn } from "../../src/base/turn.ts";
import {
  GO_ON_PER_TURN,
  HELD_BYTES_MAX,
  InputShare,
  LIGHT_BYTES,
  SLICE_BYTES,
  SLOW_SLICE_BYTES,
  SLOW_SLICE_MS,
  TURN_MS_MAX,
} from "../../src/net/input-share.ts";
import { Link, type LinkHost } from "../../src/net/link.ts";
import { OutputBuffer, type ProtocolConnection } from "../../src/wire/connection.ts";

/** A machine that takes its time: so many ms for each call of receive(). */
class Slow implements ProtocolConnection {
  readonly output = new OutputBuffer();
  onOutput = (): void => undefined;
  closing = false;
  paused = false;
  urgent = false;
  got = "";
  /** Bytes after which its answers fill its output. */
  pausesAfter = Number.POSITIVE_INFINITY;
  readonly #world: World;
  readonly #ms: number;

  constructor(world: World, ms: number) {
    this.#world = world;
    this.#ms = ms;
  }

  receive(bytes: Uint8Array): void {
    this.#world.nowMs += this.#ms;
    this.got += Buffer.from(bytes).toString("latin1");
    this.#world.fed.push(this);
    this.paused = this.got.length >= this.pausesAfter;
  }
  onWritable(): void {}
  tick(): void {}
  closed(): void {}
  shutdown(): void {}
}

class World {
  nowMs = 0;
  readonly fed: Slow[] = [];
  readonly log: string[] = [];
  readonly #runs: (() => void)[] = [];
  readonly share = new InputShare(new Turn((run) => this.#runs.push(run)), () => this.nowMs);

  endTurn(): boolean {
    const run = this.#runs.shift();
    run?.();
    return run !== undefined;
  }

  link(name: string, ms: number, before?: Uint8Array): { link: Link; machine: Slow } {
    const host: LinkHost = {
      nowMs: () => this.nowMs,
      flushSoon: () => undefined,
      forget: () => undefined,
    };
    const socket = {
      write: (_data: Uint8Array, _offset: number, length: number) => length,
      shutdown: () => undefined,
      terminate: () => undefined,
      pause: () => this.log.push(`${name} paused`),
      resume: () => this.log.push(`${name} goes on`),
    };
    const traffic = { receivedBytes: 0, sentBytes: 0 };
    const link = new Link(host, traffic, socket, 1e9, this.share);
    const machine = new Slow(this, ms);
    if (before !== undefined) link.hold(before);
    link.adopt(machine);
    return { link, machine };
  }
}

const MUCH = SLICE_BYTES * 5 + 7;

test("much input of one waits once the turn is long, and little of another does not", () => {
  const world = new World();
  const { link, machine } = world.link("greedy", TURN_MS_MAX / 2);
  const modest = world.link("modest", 0);
  const much = Buffer.alloc(MUCH, "abcdefg");
  link.receive(much);
  expect(machine.got.length).toBe(2 * SLICE_BYTES); // what the turn has time for
  expect(world.share.heldBytes).toBe(MUCH); // the rest keeps the whole chunk in memory
  modest.link.receive(Buffer.alloc(LIGHT_BYTES, "x"));
  expect(modest.machine.got.length).toBe(LIGHT_BYTES);
  expect(world.log).toEqual(["greedy paused"]);
  world.endTurn();
  expect(machine.got.length).toBe(3 * SLICE_BYTES); // the turn's time was over: one slice
  world.endTurn();
  expect(machine.got.length).toBe(5 * SLICE_BYTES);
  while (world.endTurn());
  expect(machine.got).toBe(much.toString("latin1"));
  expect(world.share.heldBytes).toBe(0);
  expect(world.log).toEqual(["greedy paused", "greedy goes on"]);
});

test("whoever is known is read whole, in a long turn too, once nothing of his waits", () => {
  const world = new World();
  world.link("greedy", TURN_MS_MAX).link.receive(Buffer.alloc(MUCH));
  const { link, machine } = world.link("member", 0);
  link.receive(Buffer.alloc(MUCH, "1")); // before he was known
  expect(machine.got).toBe("");
  machine.urgent = true;
  link.receive(Buffer.alloc(MUCH, "2"));
  while (world.endTurn());
  expect(machine.got).toBe("1".repeat(MUCH) + "2".repeat(MUCH));
  world.link("greedy", TURN_MS_MAX).link.receive(Buffer.alloc(MUCH));
  link.receive(Buffer.alloc(MUCH, "3"));
  expect(machine.got.endsWith("3".repeat(MUCH))).toBe(true);
});

test("those that wait get a slice each, in turn", () => {
  const world = new World();
  const links = ["a", "b", "c"].map((name) => world.link(name, TURN_MS_MAX / 2));
  for (const { link } of links) link.receive(Buffer.alloc(3 * SLICE_BYTES));
  while (world.endTurn());
  const [a, b, c] = links.map(({ machine }) => machine);
  expect(world.fed.map((machine) => [a, b, c].indexOf(machine))).toEqual(
    [0, 0, 0, 1, 2, 1, 2, 1, 2], // the first had the time of the turn, and then they take turns
  );
});

test("what comes while some is held waits behind it", () => {
  const world = new World();
  const { link, machine } = world.link("greedy", TURN_MS_MAX);
  link.receive(Buffer.alloc(2 * SLICE_BYTES, "1"));
  link.receive(Buffer.from("23")); // TLS had it decrypted
  expect(machine.got.length).toBe(SLICE_BYTES);
  while (world.endTurn());
  expect(machine.got.slice(-3)).toBe("123");
  expect(world.share.heldBytes).toBe(0);
});

test("no more is held than HELD_BYTES_MAX: beyond it everything is read", () => {
  const world = new World();
  const chunk = Buffer.alloc(HELD_BYTES_MAX / 8);
  const links = Array.from({ length: 12 }, (_, place) => world.link(`${place}`, TURN_MS_MAX));
  for (const { link } of links) link.receive(Buffer.from(chunk)); // it is given away
  expect(world.share.heldBytes).toBeLessThanOrEqual(HELD_BYTES_MAX);
  expect(world.share.counts.overflowCount).toBeGreaterThan(0);
  expect(links.at(-1)?.machine.got.length).toBe(chunk.length);
});

test("what a closed connection held is given back", () => {
  const world = new World();
  const { link, machine } = world.link("greedy", TURN_MS_MAX);
  link.receive(Buffer.alloc(MUCH));
  link.socketClosed();
  expect(world.share.heldBytes).toBe(0);
  const before = machine.got.length;
  while (world.endTurn());
  expect(machine.got.length).toBe(before);
});

test("one whose slices take long gets small ones", () => {
  const world = new World();
  const { link, machine } = world.link("greedy", SLOW_SLICE_MS * 3);
  link.receive(Buffer.alloc(SLICE_BYTES * 3));
  world.endTurn();
  expect(machine.got.length).toBe(SLICE_BYTES * 2);
  world.endTurn();
  expect(machine.got.length).toBe(SLICE_BYTES * 2 + SLOW_SLICE_BYTES);
  while (world.endTurn());
  expect(machine.got.length).toBe(SLICE_BYTES * 3);
  expect(world.share.heldBytes).toBe(0);
});

test("what came before the protocol was known is read in its share as well", () => {
  const world = new World();
  const { link, machine } = world.link("greedy", TURN_MS_MAX, Buffer.alloc(MUCH, "x"));
  expect(machine.got.length).toBe(SLICE_BYTES);
  while (world.endTurn());
  expect(machine.got.length).toBe(MUCH);
  link.terminate();
  expect(world.share.heldBytes).toBe(0);
});

test("nothing is read of one that does not read its answers, and all once it does", () => {
  const world = new World();
  const { link, machine } = world.link("greedy", TURN_MS_MAX);
  machine.pausesAfter = SLICE_BYTES;
  link.receive(Buffer.alloc(MUCH));
  while (world.endTurn());
  expect(machine.got.length).toBe(SLICE_BYTES);
  expect(world.share.heldBytes).toBe(MUCH);
  machine.pausesAfter = Number.POSITIVE_INFINITY;
  machine.paused = false;
  link.tick(0);
  while (world.endTurn());
  expect(machine.got.length).toBe(MUCH);
  expect(world.log).toEqual(["greedy paused", "greedy goes on"]);
});

test("who was not heard of is not read in a long turn, and goes on in order in the next", () => {
  const world = new World();
  const count = GO_ON_PER_TURN + 2;
  const fresh = Array.from({ length: count }, (_, at) => world.link(`fresh${at}`, TURN_MS_MAX));
  for (const { link } of fresh) link.doubt();
  const known = world.link("known", 0);
  known.link.doubt();
  known.link.receive(Buffer.alloc(LIGHT_BYTES));
  const quiet = Array.from({ length: count }, (_, at) => `fresh${at}`);
  fresh[0]?.link.receive(Buffer.alloc(MUCH));
  const rest = quiet.slice(1).map((name) => `${name} paused`);
  expect(world.log.splice(0)).toEqual([...rest, "fresh0 paused"]);
  world.endTurn();
  const next = quiet.slice(1, 1 + GO_ON_PER_TURN).map((name) => `${name} goes on`);
  expect(world.log.splice(0)).toEqual(next);
  fresh[1]?.link.receive(Buffer.alloc(LIGHT_BYTES)); // who goes on is heard before he stops again
  fresh[2]?.link.receive(Buffer.alloc(MUCH));
  expect(world.log.splice(0)).toEqual(["fresh2 paused"]);
  while (world.endTurn());
  expect(world.log.splice(0)).toContain(`fresh${count - 1} goes on`);
  expect(known.machine.got.length).toBe(LIGHT_BYTES);
  expect(world.share.heldBytes).toBe(0);
});

test("nobody goes on while much is held, nor does the turn spin for it", () => {
  const world = new World();
  const greedy = world.link("greedy", TURN_MS_MAX);
  const { link } = world.link("fresh", 0);
  link.doubt();
  greedy.machine.pausesAfter = 1;
  greedy.link.receive(Buffer.alloc(HELD_BYTES_MAX / 2 + 1));
  while (world.endTurn());
  expect(world.log).toEqual(["greedy paused", "fresh paused"]);
  greedy.link.terminate();
  while (world.endTurn());
  expect(world.log).toEqual(["greedy paused", "fresh paused", "fresh goes on"]);
});

test("who is stopped and goes away is forgotten", () => {
  const world = new World();
  const { link } = world.link("fresh", 0);
  link.doubt();
  world.link("greedy", TURN_MS_MAX).link.receive(Buffer.alloc(MUCH));
  link.terminate();
  while (world.endTurn());
  expect(world.log).toEqual(["fresh paused", "greedy paused", "greedy goes on"]);
});

test("who has sent much is not read in the next long turn, until he has sent little", () => {
  const world = new World();
  const { link } = world.link("greedy", TURN_MS_MAX);
  link.receive(Buffer.alloc(MUCH));
  while (world.endTurn());
  world.log.length = 0;
  const overrun = (): void => world.link("other", TURN_MS_MAX).link.receive(Buffer.alloc(MUCH));
  overrun();
  expect(world.log.splice(0)).toEqual(["greedy paused", "other paused"]);
  while (world.endTurn());
  link.receive(Buffer.alloc(LIGHT_BYTES));
  world.log.length = 0;
  overrun();
  expect(world.log).not.toContain("greedy paused");
});
