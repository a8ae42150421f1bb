/** Copies of the state on their way from one member's file to another one's. */
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AetherError } from "../../src/base/errors.ts";
import { KIB } from "../../src/base/units.ts";
import type { SnapshotMessage } from "../../src/raft/message.ts";
import type { HeldFile } from "../../src/server/snapshot-link.ts";
import { ID } from "../net/peers/members.ts";
import { turn } from "../net/peers/pipes.ts";
import { until } from "../net/until.ts";
import { type LinkedMember, LinkedWorld } from "./linked-members.ts";

let world = new LinkedWorld();

afterEach(async () => {
  await world.end();
  world = new LinkedWorld();
});

class Held implements HeldFile {
  readonly index = 900;
  readonly term = 3;
  readonly path: string;
  broken = false;
  onBroken: (() => void) | undefined;
  released = 0;

  constructor(path: string) {
    this.path = path;
  }

  release(): void {
    this.released++;
  }

  break(): void {
    this.broken = true;
    this.onBroken?.();
  }
}

const MESSAGE: SnapshotMessage = {
  ...{ type: "snapshot", from: ID(1), to: ID(2), term: 4 },
  meta: {
    index: 900,
    term: 3,
    configuration: {
      voters: [ID(1), ID(2)],
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    },
  },
};

/** A file of the first member's, held still. */
function heldFile({ directory }: LinkedMember, bytes: Uint8Array): Held {
  const path = join(directory, "state.db");
  writeFileSync(path, bytes);
  return new Held(path);
}

function send({ link }: LinkedMember, held: Held): { arrived: boolean | undefined } {
  const result: { arrived: boolean | undefined } = { arrived: undefined };
  link.transport.sendSnapshot(MESSAGE, held, (arrived) => {
    expect(result.arrived).toBeUndefined();
    result.arrived = arrived;
  });
  return result;
}

const CONTENT = Buffer.alloc(700 * KIB, "a state of some size ");

describe("a copy", () => {
  test("is staged and handed to Raft; then it has arrived", async () => {
    const [a, b] = [world.member(1), world.member(2)];
    await world.introduce();
    const held = heldFile(a, CONTENT);
    const sent = send(a, held);
    await until(() => sent.arrived !== undefined, "an end");
    expect(sent.arrived).toBe(true);
    expect(b.staged.map(({ meta }) => meta)).toEqual([MESSAGE.meta]);
    const received = b.staged[0]?.received ?? "";
    expect(received.startsWith(join(b.directory, "snapshots"))).toBe(true);
    expect(readFileSync(received).equals(CONTENT)).toBe(true);
    expect(b.group.snapshots).toEqual([MESSAGE]);
    expect([held.released, held.onBroken]).toEqual([0, undefined]);
  });

  test("that the store or Raft does not take has not arrived", async () => {
    const refusing = {
      stage: () => Promise.reject(new AetherError("corrupt", "page 7")),
    };
    const [a, b] = [world.member(1), world.member(2, refusing)];
    await world.introduce();
    const sent = send(a, heldFile(a, CONTENT));
    await until(() => sent.arrived !== undefined, "an end");
    expect(sent.arrived).toBe(false);
    expect(a.log.lines.join()).toContain("corrupt: page 7");
    expect(readdirSync(join(b.directory, "snapshots"))).toEqual([]);
    expect(b.group.snapshots).toEqual([]);
  });

  test("that Raft cannot step now has not arrived either", async () => {
    const [a, b] = [world.member(1), world.member(2)];
    await world.introduce();
    b.group.installFailure = new AetherError("too_many_requests", "another one");
    const sent = send(a, heldFile(a, CONTENT));
    await until(() => sent.arrived !== undefined, "an end");
    expect(sent.arrived).toBe(false);
    expect(a.log.lines.join()).toContain("too_many_requests: another one");
  });

  test("whose hold is broken is given up, whatever was read of it", async () => {
    const [a, b] = [world.member(1), world.member(2)];
    await world.introduce();
    const early = heldFile(a, CONTENT);
    const first = send(a, early);
    early.break(); // while it is hashed
    await until(() => first.arrived !== undefined, "the first end");
    expect(first.arrived).toBe(false);
    expect(existsSync(join(b.directory, "snapshots"))).toBe(false); // it was not even offered

    const held = heldFile(a, CONTENT);
    const second = send(a, held);
    await until(() => held.onBroken !== undefined, "it is on its way");
    held.break();
    await until(() => second.arrived !== undefined, "the second end");
    expect(second.arrived).toBe(false);
    expect(b.staged).toEqual([]);
  });

  test("to a member that is away is given up at once when its hold is broken", async () => {
    const [a, b] = [world.member(1), world.member(2)];
    await world.introduce();
    world.net.servers.delete(b.url);
    const held = heldFile(a, CONTENT);
    const dials = world.net.dialsMs.length;
    const sent = send(a, held);
    await until(() => world.net.dialsMs.length > dials, "an attempt");
    await turn();
    expect(sent.arrived).toBeUndefined(); // it waits to try again, in a time that does not pass
    held.break();
    await until(() => sent.arrived !== undefined, "an end");
    expect(a.log.lines.join()).toContain("canceled");
  });

  test("is read no more once its hold is broken, told or not", async () => {
    const [a, b] = [world.member(1), world.member(2)];
    await world.introduce();
    const held = heldFile(a, CONTENT);
    const sent = send(a, held);
    await until(() => held.onBroken !== undefined, "it is on its way");
    held.broken = true;
    await until(() => sent.arrived !== undefined, "an end");
    expect(sent.arrived).toBe(false);
    expect(b.staged).toEqual([]);
  });

  test("of a file that is gone, or to nobody, ends as well", async () => {
    const a = world.member(1);
    await world.introduce();
    const lost = send(a, new Held(join(a.directory, "gone")));
    const astray = send(a, heldFile(a, CONTENT));
    await until(() => lost.arrived !== undefined && astray.arrived !== undefined, "both ends");
    expect([lost.arrived, astray.arrived]).toEqual([false, false]);
    expect(a.log.lines.join()).toContain("ENOENT");
    expect(a.log.lines.join()).toContain("member_not_found");
  });
});
