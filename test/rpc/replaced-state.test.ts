/**
 * Answers that take several turns while a snapshot takes the place of the state they read: what
 * they say is true of the revision they began with, or they end and say why.
 */
import { describe, expect, test } from "bun:test";
import {
  HashKVRequest,
  KV,
  Maintenance,
  PutRequest,
  RangeRequest,
  RangeResponse,
  RangeStreamResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import { DrivenGroup, MEMBER, PEER } from "../node/driven-group.ts";
import { bytesOfMessage, type FakeCall, Harness } from "./harness.ts";
import { LeadingPeer } from "./leading-peer.ts";

const CHANGED = "14 etcdserver: leader changed";
const KEYS = 3000;

/** A follower far behind its leader, whose whole state it gets. */
class Overtaken {
  readonly harness = new Harness({ voters: [MEMBER, PEER] });
  readonly peer = new LeadingPeer(this.harness);
  readonly #leader = DrivenGroup.leading();

  /** `keys` at the follower, each with an older version; the leader has others. */
  constructor(keys = KEYS) {
    for (let i = 0; i < keys; i++) this.#put(`key${10_000 + i}`, "old");
    for (let i = 0; i < keys; i++) this.#put(`key${10_000 + i}`, "new");
    this.peer.settle();
    for (let i = 0; i < 3 * keys; i++) this.#leader.put(`other${i}`, "elsewhere");
    for (let i = 0; i < 10; i++) {
      this.#leader.put("later"); // an entry of its own: further than ours
      this.#leader.settle();
    }
    this.#leader.tick();
    this.#leader.settle();
    this.#leader.stateDisk.sync();
  }

  /** The leader's state takes the place of ours. */
  install(): void {
    const { driven } = this.harness;
    const index = this.#leader.stateDisk.durableIndex;
    driven.stateDisk.stage(this.#leader.stateDisk.durableImage());
    const configuration = configurationOf([MEMBER, PEER]);
    const meta = { index, term: 2, configuration };
    let installed = false;
    driven.group.receiveSnapshot(
      { type: "snapshot", from: PEER, to: MEMBER, term: 2, meta },
      () => {
        installed = true;
      },
    );
    for (let i = 0; i < 10 && !installed; i++) {
      driven.log.sync();
      driven.store.store();
    }
    expect([installed, driven.group.appliedIndex]).toEqual([true, index]);
  }

  begin(path: string, request: Partial<RangeRequest>): FakeCall {
    const bytes = bytesOfMessage(RangeRequest, { ...request, serializable: true });
    const call = this.harness.start(path, bytes);
    this.harness.say(call, bytes);
    expect(call.text).toBe("open");
    return call;
  }

  #put(key: string, value: string): void {
    const bytes = bytesOfMessage(PutRequest, { key, value: Buffer.from(value) });
    this.harness.start(KV.Put.path, bytes);
  }
}

const all = { key: "\0", rangeEnd: "\0" };
const OLD_REVISION = 1 + KEYS;

describe("while a snapshot is installed", () => {
  test("a range of what is in memory ends as it began", () => {
    const overtaken = new Overtaken();
    const call = overtaken.begin(KV.Range.path, all);
    overtaken.install();
    overtaken.harness.driven.settle();
    const { kvs, count, header } = call.decode(RangeResponse);
    expect([kvs.length, count, header?.revision]).toEqual([KEYS, KEYS, 1 + 2 * KEYS]);
    expect(new Set(kvs.map(({ value }) => Buffer.from(value).toString()))).toEqual(
      new Set(["new"]),
    );
  });

  test("a range that needs the rows that are gone is ended", () => {
    const overtaken = new Overtaken();
    const call = overtaken.begin(KV.Range.path, { ...all, revision: OLD_REVISION });
    overtaken.install();
    overtaken.harness.driven.settle();
    expect([call.text, call.messages.length, call.endings]).toEqual([CHANGED, 0, 1]);
  });

  test("a stream of a range, too", () => {
    const overtaken = new Overtaken();
    const call = overtaken.begin(KV.RangeStream.path, { ...all, revision: OLD_REVISION });
    overtaken.install();
    overtaken.harness.driven.settle();
    expect(call.text).toBe(CHANGED);
    for (const { rangeResponse } of call.decodeAll(RangeStreamResponse)) {
      for (const kv of rangeResponse?.kvs ?? [])
        expect(Buffer.from(kv.value).toString()).toBe("old");
    }
  });

  test("a hash, too; the next one is that of the new state", () => {
    const overtaken = new Overtaken();
    const bytes = bytesOfMessage(HashKVRequest, {});
    const call = overtaken.harness.start(Maintenance.HashKV.path, bytes);
    overtaken.harness.driven.endTurn();
    overtaken.install();
    overtaken.harness.driven.settle();
    expect(call.text).toBe(CHANGED);
    const next = overtaken.harness.start(Maintenance.HashKV.path, bytes);
    overtaken.harness.driven.settle();
    expect(next.text).toBe("0");
  });
});
