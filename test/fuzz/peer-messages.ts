/** Messages between members, drawn by chance: as the codec can carry them, and near the truth. */
import fc from "fast-check";
import { EMPTY_BYTES } from "../../src/base/bytes.ts";
import type { ConfigurationChange } from "../../src/raft/membership/change.ts";
import { encodeChange } from "../../src/raft/membership/codec.ts";
import { MESSAGE_TYPES, type Message } from "../../src/raft/message.ts";
import type { Configuration, Entry, MemberId } from "../../src/raft/types.ts";

export const FROM = 2n as MemberId;
export const TO = 1n as MemberId;

/** Small ones meet what is there, large ones the ends of their ranges. */
const counter = fc.oneof(
  { weight: 6, arbitrary: fc.nat(12) },
  { weight: 1, arbitrary: fc.constantFrom(2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 52 - 1) },
);
const id = fc.oneof(
  { weight: 6, arbitrary: fc.bigInt(1n, 5n) },
  { weight: 1, arbitrary: fc.bigInt(1n, 2n ** 64n - 1n) },
) as fc.Arbitrary<MemberId>;
const ids = fc.uniqueArray(id, { maxLength: 4 }).map((list) => {
  return list.sort((a, b) => (a < b ? -1 : 1));
});

/** A change of the membership as the codec has it; whether it fits is Raft's to see. */
const change = fc
  .record({
    transition: fc.constantFrom("auto", "joint", "joint-manual", "leave"),
    steps: fc.array(
      fc.record({ action: fc.constantFrom("add-voter", "add-learner", "remove"), id }),
      { maxLength: 4 },
    ),
  })
  .map((drawn) => encodeChange({ ...drawn, context: EMPTY_BYTES } as ConfigurationChange));

const entry = fc.record({
  kind: fc.constantFrom("normal", "config", "noop"),
  grows: fc.nat(1),
  payload: fc.oneof(fc.uint8Array({ maxLength: 24 }), change),
}) as fc.Arbitrary<Pick<Entry, "kind" | "payload"> & { readonly grows: number }>;

const configuration: fc.Arbitrary<Configuration> = fc.record({
  voters: ids,
  votersOutgoing: ids,
  learners: ids,
  learnersNext: ids,
  autoLeave: fc.boolean(),
});

/** Every field of every type of message. */
const fields = fc.record({
  type: fc.constantFrom(...MESSAGE_TYPES),
  term: counter,
  prevIndex: counter,
  prevTerm: counter,
  commit: counter,
  entries: fc.array(entry, { maxLength: 4 }),
  index: counter,
  rejection: fc.option(fc.record({ hintIndex: counter, hintTerm: counter }), {
    nil: undefined,
    freq: 1,
  }),
  round: counter,
  lastIndex: counter,
  lastTerm: counter,
  force: fc.boolean(),
  granted: fc.boolean(),
  target: id,
  sequence: counter,
  meta: fc.record({ index: counter, term: counter, configuration }),
});

/** A message of FROM to TO with entries in sequence, as the codec takes them. */
export const message: fc.Arbitrary<Message> = fields.map((drawn) => {
  let { prevTerm: term } = drawn;
  const entries = drawn.entries.map(({ kind, payload, grows }, i) => {
    term = Math.min(term + grows, 2 ** 52 - 1);
    return { index: drawn.prevIndex + 1 + i, term, kind, payload };
  });
  return { ...drawn, entries, from: FROM, to: TO } as Message;
});
