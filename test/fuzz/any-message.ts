/** Any message of a protobuf type, over so small a world that what it names is often there. */
import fc from "fast-check";
import { ByteWriter } from "../../src/base/bytes.ts";
import type { Field, MessageType } from "../../src/proto/message.ts";

/** Values by form; zeros come of themselves, since every field may be left out. */
const SCALARS: Readonly<Record<Exclude<Field["form"], "message">, fc.Arbitrary<unknown>>> = {
  boolean: fc.boolean(),
  number: fc.oneof(fc.nat(5), fc.constantFrom(-1, 2 ** 31 - 1)),
  bigint: fc.constantFrom(1n, 2n, 3n, 2n ** 63n - 1n),
  string: fc.constantFrom("root", "u", "r", "http://a:1", "http://b:1", "3.5.0", "\u{1f600}"),
  key: fc.constantFrom("a", "b", "c", "\0", "\xff", "root"),
  bytes: fc.oneof(
    fc.constantFrom("a", "b", "\0").map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 20 }),
  ),
};

/** Nested messages go so deep; protobuf allows a hundred, which its own tests try. */
const DEPTH_MAX = 4;

/** The bytes of a message. */
export function bytesOf<T>(type: MessageType<T>, message: T): Buffer {
  const out = new ByteWriter(64);
  type.encode(message, out);
  return Buffer.from(out.view());
}

export function anyMessage<T>(type: MessageType<T>, depth = 0): fc.Arbitrary<T> {
  const fields = Object.fromEntries(
    type.fields
      .filter(({ form }) => form !== "message" || depth < DEPTH_MAX)
      .map((field) => [field.jsonName, fieldValue(field, depth)]),
  );
  return fc
    .record(fields, { requiredKeys: [] })
    .map((drawn) => type.create(oneOfEach(type, drawn) as Partial<T>));
}

function fieldValue(field: Field, depth: number): fc.Arbitrary<unknown> {
  const { form, message, repeated } = field;
  const one =
    form === "message" && message !== undefined
      ? fc.constant(0).chain(() => anyMessage(message(), depth + 1))
      : SCALARS[form as keyof typeof SCALARS];
  return repeated ? fc.array(one, { maxLength: 3 }) : one;
}

/** Of the members of a oneof the first that was drawn stays. */
function oneOfEach<T>(type: MessageType<T>, drawn: Record<string, unknown>): object {
  const taken = new Set<string>();
  return Object.fromEntries(
    Object.entries(drawn).filter(([name]) => {
      const oneof = type.fields.find(({ jsonName }) => jsonName === name)?.oneof;
      if (oneof === undefined) return true;
      if (taken.has(oneof)) return false;
      taken.add(oneof);
      return true;
    }),
  );
}
