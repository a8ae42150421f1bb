/** Batches of other members at the leader: taken if they can be applied, else refused at once. */
import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../src/base/bytes.ts";
import { addCommand, beginBatch, CommandKind, endBatch } from "../../src/state/command.ts";
import { DrivenGroup, PEER, putBody } from "./driven-group.ts";

function batch(kinds: readonly number[], count = kinds.length): Buffer {
  const writer = new ByteWriter();
  const body = putBody("a", "1");
  beginBatch(writer, PEER, 7);
  for (const kind of kinds) addCommand(writer, kind as CommandKind, body, 0, body.length);
  return Buffer.from(endBatch(writer, count));
}

/** What becomes of it: "taken", or why not. */
function offer(driven: DrivenGroup, payload: Uint8Array, term = driven.group.term): string {
  let answer = "taken";
  driven.group.receiveProposal(term, payload, (error) => {
    answer = error.code;
  });
  return answer;
}

describe("a batch that was passed on", () => {
  test("is applied like one of the leader's own", () => {
    const driven = DrivenGroup.leading();
    expect(offer(driven, batch([CommandKind.put, CommandKind.put]))).toBe("taken");
    driven.settle();
    expect(driven.group.machine.revision).toBe(3);
    expect(driven.contents()).toEqual(["a=1"]);
  });

  test("of another term is refused, whoever leads", () => {
    const driven = DrivenGroup.leading();
    const { term } = driven.group;
    for (const other of [term - 1, term + 1]) {
      expect(offer(driven, batch([CommandKind.put]), other)).toBe("not_leader");
    }
  });

  test("is refused where nobody leads, and after the stop", () => {
    const driven = new DrivenGroup({ voters: [PEER] });
    expect(offer(driven, batch([CommandKind.put]))).toBe("not_leader");
    driven.group.stop();
    expect(offer(driven, batch([CommandKind.put]))).toBe("stopped");
  });

  test("is refused if it is broken, or of a newer program: it would end every member", () => {
    const driven = DrivenGroup.leading();
    const before = driven.group.appliedIndex;
    const whole = batch([CommandKind.put, CommandKind.deleteRange]);
    for (let length = 0; length < whole.length; length++) {
      expect([length, offer(driven, whole.subarray(0, length))]).toEqual([
        length,
        "invalid_argument",
      ]);
    }
    const longer = Buffer.concat([whole, Buffer.alloc(1)]);
    const newer = Buffer.from(whole);
    newer[0] = 2;
    const counted = [batch([CommandKind.put], 2), batch([CommandKind.put], 0)];
    const kinds = [0, CommandKind.alarm + 1, 255].map((kind) => batch([kind]));
    for (const payload of [longer, newer, ...counted, ...kinds]) {
      expect(offer(driven, payload)).toBe("invalid_argument");
    }
    driven.settle();
    expect(driven.group.appliedIndex).toBe(before);
  });

  test("cannot change who the members are: that goes with a change of the configuration", () => {
    const driven = DrivenGroup.leading();
    for (const kind of Object.values(CommandKind)) {
      const isChange = kind >= CommandKind.memberAdd && kind <= CommandKind.memberUpdate;
      const isAlone = kind === CommandKind.onBehalf; // a prefix, and no command behind it
      const expected = isChange || isAlone ? "invalid_argument" : "taken";
      expect([kind, offer(driven, batch([kind]))]).toEqual([kind, expected]);
    }
    driven.settle(); // whatever is in the bodies
  });
});
