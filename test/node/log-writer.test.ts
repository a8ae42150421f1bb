import { describe, expect, test } from "bun:test";
import { LogWriter } from "../../src/node/log-writer.ts";
import type { LogStore, LogWrite } from "../../src/node/ports.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import type { Message } from "../../src/raft/message.ts";
import type { Persist } from "../../src/raft/ready.ts";
import type { HardState, MemberId, SnapshotMeta } from "../../src/raft/types.ts";

/** A log that remembers what it was given and answers when told. */
class Recorder {
  readonly writes: LogWrite[] = [];
  readonly sent: Message[] = [];
  readonly durable: number[] = [];
  readonly tookMs: number[] = [];
  readonly bytes: number[] = [];
  /** Indexes of the snapshots whose state was asked for. */
  readonly installs: number[] = [];
  nowMs = 0;
  readonly #installed: (() => void)[] = [];
  readonly #answers: (() => void)[] = [];
  readonly writer: LogWriter;

  constructor(lastIndex = 0) {
    const write: LogStore["write"] = (given, onDurable) => {
      this.writes.push(given);
      this.#answers.push(onDurable);
    };
    const send = (messages: readonly Message[]): void => void this.sent.push(...messages);
    const log = { write, stored: { lastIndex } } as LogStore;
    const clock = { monotonicMs: () => this.nowMs, wallMs: () => 0 };
    const meter = {
      logWritten: (bytes: number, ms: number) => {
        this.tookMs.push(ms);
        this.bytes.push(bytes);
      },
    };
    const install = ({ index }: SnapshotMeta, onInstalled: () => void): void => {
      this.installs.push(index);
      this.#installed.push(onInstalled);
    };
    const ports = { log, send, clock, meter, install };
    this.writer = new LogWriter(ports, (ack) => this.durable.push(ack.sequence));
  }

  answer(): void {
    this.#answers.shift()?.();
  }

  endInstall(): void {
    this.#installed.shift()?.();
  }
}

let sequence = 0;

function persist(hardState: HardState | undefined, mustSync = true): Persist {
  const index = ++sequence;
  const entry = { index, term: 1, kind: "normal", payload: new Uint8Array(1) } as const;
  const entries = mustSync ? [entry] : [];
  const ack = { sequence: index, term: 1, index };
  return { hardState, entries, snapshot: undefined, mustSync, ack };
}

const message = (round: number): Message =>
  ({ type: "heartbeat-response", from: 1n, to: 2n, term: 1, round }) as Message;

describe("log writer", () => {
  test("a term or a vote goes with its write, a commit index alone does not", () => {
    const { writer, writes } = new Recorder();
    writer.persist(persist({ term: 1, vote: 1n, commit: 0 }), []);
    writer.persist(persist({ term: 1, vote: 1n, commit: 1 }), []);
    writer.persist(persist({ term: 2, vote: 0n, commit: 2 }), []);
    expect(writes.map(({ hardState }) => hardState?.commit)).toEqual([0, undefined, 2]);
  });

  test("a commit index is written now and then, and before the end", () => {
    const { writer, writes } = new Recorder();
    const state = (commit: number): HardState => ({ term: 1, vote: 1n, commit });
    for (let commit = 0; commit < 600; commit++) writer.persist(persist(state(commit)), []);
    const written = writes.filter(({ hardState }) => hardState !== undefined);
    expect(written.length).toBe(3);
    writer.flush();
    expect(writes.at(-1)?.hardState?.commit).toBe(599);
    const count = writes.length;
    writer.flush();
    expect(writes.length).toBe(count);
  });

  test("that a change of membership is committed goes with the write Raft asks for", () => {
    const { writer, writes } = new Recorder();
    const state = (commit: number): HardState => ({ term: 1, vote: 1n, commit });
    const commits = (): (number | undefined)[] => writes.map(({ hardState }) => hardState?.commit);
    writer.persist(persist(state(0)), []);
    const change = { index: 2, term: 1, kind: "config", payload: new Uint8Array(1) } as const;
    writer.persist({ ...persist(state(1)), entries: [change] }, []);
    const committed = { ...persist(state(2), false), mustSync: true };
    writer.persist(committed, [message(1)]);
    expect(commits()).toEqual([0, 1, 2]);
    writer.persist(persist(state(3)), []);
    expect(commits()).toEqual([0, 1, 2, undefined]);
  });

  test("after a start, any entry that is there may be a change of membership", () => {
    const { writer, writes } = new Recorder(10);
    const state = (commit: number): HardState => ({ term: 1, vote: 1n, commit });
    for (const commit of [4, 9, 10, 11]) writer.persist(persist(state(commit)), []);
    expect(writes.map(({ hardState }) => hardState?.commit)).toEqual([4, 9, 10, undefined]);
  });

  test("a hard state that waits is not forgotten, and not written if it did not move", () => {
    const { writer, writes } = new Recorder();
    const state = (commit: number): HardState => ({ term: 1, vote: 1n, commit });
    writer.persist(persist(state(1)), []);
    writer.persist(persist(state(2), false), []);
    writer.persist(persist(undefined), []);
    writer.flush();
    expect(writes.map(({ hardState }) => hardState?.commit)).toEqual([1, undefined, 2]);
    const change = { index: 9, term: 1, kind: "config", payload: new Uint8Array(1) } as const;
    writer.persist({ ...persist(undefined), entries: [change] }, []);
    writer.persist(persist(state(2)), []); // nothing was committed since
    expect(writes.map(({ hardState }) => hardState?.commit).slice(3)).toEqual([
      undefined,
      undefined,
    ]);
  });

  test("every 256 writes say how far was committed", () => {
    const { writer, writes } = new Recorder();
    const state = (commit: number): HardState => ({ term: 1, vote: 1n, commit });
    for (let i = 0; i < 258; i++) writer.persist(persist(state(1 + i)), []);
    const written = writes.flatMap(({ hardState }, i) => (hardState === undefined ? [] : [i]));
    expect(written).toEqual([0, 257]);
  });

  test("promises wait for their write and for every earlier one", () => {
    const recorder = new Recorder();
    const { writer, sent } = recorder;
    writer.persist(persist(undefined), [message(1)]);
    writer.persist(persist(undefined), [message(2)]);
    writer.persist(persist(undefined, false), [message(3)]);
    expect(sent).toEqual([]);
    recorder.answer();
    expect(sent).toEqual([message(1)]);
    recorder.answer();
    expect(sent).toEqual([message(1), message(2), message(3)]);
    writer.persist(persist(undefined, false), [message(4)]);
    expect(sent.at(-1)).toEqual(message(4));
    expect(recorder.durable.length).toBe(2);
  });

  test("each write is measured from when it was handed over", () => {
    const recorder = new Recorder();
    recorder.writer.persist(persist(undefined), []);
    recorder.nowMs = 3;
    recorder.writer.persist(persist(undefined), []);
    recorder.nowMs = 5;
    recorder.answer();
    recorder.answer();
    expect(recorder.tookMs).toEqual([5, 2]);
    expect(recorder.bytes).toEqual([1, 1]);
  });

  test("a snapshot's write is told of when its state is in place, and later ones after it", () => {
    const recorder = new Recorder();
    const { writer, sent, installs } = recorder;
    const configuration = configurationOf([1n as MemberId]);
    const snapshot: SnapshotMeta = { index: 50, term: 1, configuration };
    writer.persist({ ...persist(undefined), entries: [], snapshot }, [message(1)]);
    writer.persist(persist(undefined), [message(2)]);
    expect(installs).toEqual([]);
    recorder.answer();
    recorder.answer();
    writer.persist(persist(undefined, false), [message(3)]);
    expect([installs, sent, recorder.durable.length]).toEqual([[50], [], 0]);
    recorder.endInstall();
    expect(sent).toEqual([message(1), message(2), message(3)]);
    expect(recorder.durable.length).toBe(2);
  });
});
