/** Messages of every kind: protobuf against protobufjs, JSON of the gateway, labels of metrics. */
import { expect } from "bun:test";
import fc from "fast-check";
import { AetherError } from "../../src/base/errors.ts";
import { JsonValues } from "../../src/gateway/json/values.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { DecodeError } from "../../src/proto/decode-error.ts";
import { MESSAGES } from "../../src/proto/gen/registry.ts";
import { fromJson, parseJson, toJson } from "../../src/proto/json.ts";
import type { MessageType } from "../../src/proto/message.ts";
import { encodeOurs, messagesOf, normalizeTheirs } from "../proto/oracle.ts";
import { fuzz } from "./fuzz.ts";

const type = fc.nat(MESSAGES.length - 1);
const typeAt = (place: number): MessageType<unknown> => MESSAGES[place] as MessageType<unknown>;

/** A change of an encoding: a byte set, bytes put in, bytes taken out. */
const change = fc.oneof(
  fc.record({
    kind: fc.constant("set" as const),
    at: fc.nat(),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 1 }),
  }),
  fc.record({
    kind: fc.constant("insert" as const),
    at: fc.nat(),
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 12 }),
      fc.constantFrom(
        new Uint8Array([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        new Uint8Array([0xf8, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), // int64
        new Uint8Array([0xfb, 0x7f, 0x08, 1, 0xfc, 0x7f]), // a group
        new Uint8Array([0x0b]), // one without an end
        new Uint8Array([0x0a, 0xff, 0xff, 0xff, 0xff, 0x07]), // two gigabytes to come
      ),
    ),
  }),
  fc.record({
    kind: fc.constant("cut" as const),
    at: fc.nat(),
    bytes: fc.uint8Array({ maxLength: 5 }),
  }),
);

/** A message of some type, by its number among all, and what is done to its bytes. */
const encoding = type.chain((place) =>
  fc.tuple(
    fc.constant(place),
    messagesOf(typeAt(place), 2).map((message) => encodeOurs(typeAt(place), message)),
    fc.array(change, { maxLength: 3 }),
  ),
);

fuzz({
  name: "protobuf-decode",
  inputs: [encoding],
  check: ([place, original, changes]) => {
    const of = typeAt(place);
    let bytes: Uint8Array = original;
    for (const { kind, at, bytes: given } of changes) {
      const from = at % (bytes.length + 1);
      const past = kind === "insert" ? from : from + given.length;
      const put = kind === "cut" ? [] : [given];
      bytes = Buffer.concat([bytes.subarray(0, from), ...put, bytes.subarray(past)]);
    }
    let ours: Uint8Array;
    try {
      ours = encodeOurs(of, of.decode(bytes, 0, bytes.length));
    } catch (error) {
      expect(error).toBeInstanceOf(DecodeError);
      return;
    }
    expect(encodeOurs(of, of.decode(ours, 0, ours.length))).toEqual(ours); // read again, the same
    if (changes.length === 0) expect(ours).toEqual(new Uint8Array(normalizeTheirs(of, bytes)));
  },
  runs: 1500,
});

const message = type.chain((place) => fc.tuple(fc.constant(place), messagesOf(typeAt(place), 2)));

fuzz({
  name: "json-of-messages",
  inputs: [message],
  check: ([place, given]) => {
    const of = typeAt(place);
    const text = JSON.stringify(toJson(of, given));
    expect(encodeOurs(of, fromJson(of, parseJson(text)))).toEqual(encodeOurs(of, given));
  },
  runs: 2000,
});

/** Values as clients get them wrong: int64 as text or number, enums by name, odd base64. */
const odd = fc.oneof(
  fc.constantFrom<unknown>("0", "-1", "9223372036854775807", "9223372036854775808", "1e3", "0x1"),
  fc.constantFrom<unknown>("YQ==", "YQ", "-_8=", "a=b", "====", "\u{1f600}", "\ud800", ""),
  fc.constantFrom<unknown>("KEY", "VERSION", "nonsense", 1, -1, 1.5, 2 ** 53, 1e300, true, null),
  fc.jsonValue({ maxDepth: 3 }),
);

const oddMessage = type.chain((place) => {
  const { fields } = typeAt(place);
  const names = fields.flatMap(({ name, jsonName }) => [name, jsonName]);
  const key = fc.constantFrom(...names, "__proto__", "unknown");
  return fc.tuple(
    fc.constant(place),
    fc.array(fc.tuple(key, fc.oneof(odd, fc.array(odd, { maxLength: 3 }))), { maxLength: 5 }),
  );
});

fuzz({
  name: "json-odd",
  inputs: [oddMessage],
  check: ([place, entries]) => {
    const of = typeAt(place);
    const parts = entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    try {
      const read = fromJson(of, parseJson(`{${parts.join(",")}}`));
      const bytes = encodeOurs(of, read); // what is read can be sent
      expect(encodeOurs(of, of.decode(bytes, 0, bytes.length))).toEqual(bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(DecodeError);
    }
  },
  runs: 3000,
});

/** What the gateway's reader of objects makes of a body: the objects, and how it ended. */
function objectsIn(text: string, size: number): string[] {
  const found: string[] = [];
  const values = new JsonValues(60, (bytes, start, end) => {
    found.push(Buffer.from(bytes.subarray(start, end)).toString());
    return true;
  });
  const bytes = Buffer.from(text);
  try {
    for (let at = 0; at < bytes.length; at += size) {
      const piece = Uint8Array.from(bytes.subarray(at, at + size));
      values.take(piece, 0, piece.length);
      expect(values.held).toBeLessThanOrEqual(60);
    }
    found.push(`held ${values.held}`);
  } catch (error) {
    expect(error).toBeInstanceOf(AetherError);
    found.push((error as AetherError).code);
  }
  return found;
}

const json = fc.oneof(
  fc
    .dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 2 })
    .map((object) => JSON.stringify(object)),
  fc.constantFrom("{", "}", "[", "]", '"', "\\", " ", "\n", "x", '{"a":"}\\""}', "{}{}"),
);

/** One object, as a client sends it. */
function isWhole(part: string): boolean {
  return part.length > 1 && part.startsWith("{") && part !== "{}{}";
}

fuzz({
  name: "json-bodies",
  inputs: [fc.array(json, { maxLength: 8 }), fc.integer({ min: 1, max: 20 })],
  check: (parts, size) => {
    const text = parts.join("");
    const whole = objectsIn(text, text.length * 4 + 1);
    const cut = objectsIn(text, size);
    expect(cut).toEqual(whole);
    if (parts.every(isWhole)) {
      const short = parts.findIndex((part) => Buffer.byteLength(part) > 60);
      expect(whole.slice(0, -1)).toEqual(short < 0 ? parts : parts.slice(0, short));
    }
  },
  runs: 2000,
});

/** The labels of a sample line, by the rules of the exposition format. */
function labelsOf(line: string): Record<string, string> {
  const labels: Record<string, string> = {};
  const inside = /^m\{(.*)\} 1$/s.exec(line)?.[1] ?? "";
  for (const [, name = "", value = ""] of inside.matchAll(/(\w+)="((?:[^"\\\n]|\\.)*)",?/gs)) {
    labels[name] = value.replaceAll(/\\(.)/g, (_all, char: string) => (char === "n" ? "\n" : char));
  }
  return labels;
}

fuzz({
  name: "metric-labels",
  inputs: [
    fc.dictionary(
      fc.constantFrom("a", "b", "c"),
      fc.oneof(
        fc.string(),
        fc.string({ unit: fc.constantFrom('"', "\\", "\n", "n", "}", ",", "=") }),
      ),
      { minKeys: 1 },
    ),
  ],
  check: (labels) => {
    const metrics = new Metrics();
    metrics.readMany("gauge", "m", "help", () => [[labels, 1]]);
    const lines = metrics.text().split("\n");
    expect(lines.length).toBe(4); // help, type, the sample, and the end
    expect(labelsOf(lines[2] as string)).toEqual({ ...labels });
  },
  runs: 2000,
});
