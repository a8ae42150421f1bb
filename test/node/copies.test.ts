/** Copies of the state on their way: held from when they are begun until they have ended, once. */
import { describe, expect, test } from "bun:test";
import { Copies } from "../../src/node/copies.ts";
import type { HeldState, StateStore } from "../../src/node/ports.ts";
import { silentLog } from "../../src/observe/log.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import type { MessageOf } from "../../src/raft/message.ts";
import type { Raft } from "../../src/raft/raft.ts";
import type { MemberId, Role } from "../../src/raft/types.ts";
import { MEMBER, PEER, RecordingTransport } from "./driven-group.ts";

class Bench {
  readonly transport = new RecordingTransport([]);
  readonly reports: string[] = [];
  readonly raft = {
    role: "leader" as Role,
    term: 5,
    reportSnapshot: (id: MemberId, arrived: boolean): unknown =>
      this.reports.push(`${id} ${arrived}`),
    snapshotAt: (index: number) => {
      const known = index < 50 ? [MEMBER] : [MEMBER, PEER];
      return { index, term: 4, configuration: configurationOf(known) };
    },
  };
  readonly copies: Copies;
  released = 0;
  readonly #asked: ((held: HeldState) => void)[] = [];

  constructor() {
    const store = { hold: (onHeld: (held: HeldState) => void) => this.#asked.push(onHeld) };
    this.copies = new Copies({
      raft: this.raft as unknown as Raft,
      store: store as unknown as StateStore,
      transport: this.transport,
      logger: silentLog,
    });
  }

  /** Raft asks for a copy as of 60, to be sent to the peer. */
  begin(): void {
    const configuration = configurationOf([MEMBER, PEER]);
    const meta = { index: 60, term: 4, configuration };
    const message: MessageOf<"snapshot"> = {
      type: "snapshot",
      from: MEMBER,
      to: PEER,
      term: 5,
      meta,
    };
    this.copies.send(message);
  }

  /** The store holds the state as of `index`. */
  hold(index: number): void {
    this.#asked.shift()?.({ index, term: 4, release: () => this.released++ });
  }
}

describe("a copy", () => {
  test("says what is held, not what Raft asked for", () => {
    const bench = new Bench();
    bench.begin();
    expect(bench.transport.snapshots).toEqual([]);
    bench.hold(64);
    const [sent] = bench.transport.snapshots;
    expect([sent?.message.meta.index, sent?.held.index, sent?.message.to]).toEqual([64, 64, PEER]);
    expect([bench.copies.count, bench.released]).toEqual([1, 0]);
  });

  test("is let go, and Raft told, when it has ended", () => {
    for (const arrived of [true, false]) {
      const bench = new Bench();
      bench.begin();
      bench.hold(64);
      bench.transport.snapshots[0]?.onEnd(arrived);
      expect([bench.copies.count, bench.released]).toEqual([0, 1]);
      expect(bench.reports).toEqual([`${PEER} ${arrived}`]);
    }
  });

  test("is not begun by one that leads no more, or in another term", () => {
    const changes: ((bench: Bench) => void)[] = [
      ({ raft }) => {
        raft.role = "follower";
      },
      ({ raft }) => {
        raft.term = 7;
      },
    ];
    for (const change of changes) {
      const bench = new Bench();
      bench.begin();
      change(bench);
      bench.hold(64);
      expect([bench.transport.snapshots, bench.copies.count, bench.released]).toEqual([[], 0, 1]);
      expect(bench.reports).toEqual([]);
    }
  });

  test("that does not know its receiver is not sent, and Raft tries again", () => {
    const bench = new Bench();
    bench.begin();
    bench.hold(49);
    expect([bench.transport.snapshots, bench.released]).toEqual([[], 1]);
    expect(bench.reports).toEqual([`${PEER} false`]);
  });

  test("whose end comes in another term is let go, and Raft hears nothing of it", () => {
    const bench = new Bench();
    bench.begin();
    bench.hold(64);
    bench.raft.term = 7;
    bench.transport.snapshots[0]?.onEnd(true);
    expect([bench.copies.count, bench.released, bench.reports]).toEqual([0, 1, []]);
  });
});

describe("a stop", () => {
  test("lets everything go once, what is held later too", () => {
    const bench = new Bench();
    for (let i = 0; i < 3; i++) bench.begin();
    bench.hold(64);
    bench.hold(64);
    bench.copies.stop();
    expect([bench.copies.count, bench.released]).toEqual([0, 2]);
    bench.hold(64);
    expect([bench.copies.count, bench.released]).toEqual([0, 3]);
    for (const { onEnd } of bench.transport.snapshots) onEnd(true);
    expect([bench.transport.snapshots.length, bench.released, bench.reports]).toEqual([2, 3, []]);
  });
});
