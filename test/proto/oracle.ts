/**
 * protobufjs's reflection over the same proto files, as a second opinion on every byte, and random
 * messages of any type from its table of fields.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import Long from "long";
import protobuf from "protobufjs";
import { ByteWriter } from "../../src/base/bytes.ts";
import type { Field, MessageType } from "../../src/proto/message.ts";

/** Seed and size of every property in this room, so that a failure can be run again. */
export const PROPERTY = { seed: 20240613, numRuns: 60 } as const;

const PROTO_DIRECTORY = join(import.meta.dir, "..", "..", "proto");

function loadRoot(): protobuf.Root {
  const root = new protobuf.Root();
  const names = readdirSync(PROTO_DIRECTORY, { recursive: true }) as string[];
  for (const name of names.filter((each) => each.endsWith(".proto"))) {
    const source = readFileSync(join(PROTO_DIRECTORY, name), "utf8");
    protobuf.parse(source, root, { keepCase: true });
  }
  root.resolveAll();
  return root;
}

const ROOT = loadRoot();

export function reflected(type: MessageType<unknown>): protobuf.Type {
  return ROOT.lookupType(type.typeName);
}

/** The bytes that our codec makes of a message. */
export function encodeOurs<T>(type: MessageType<T>, message: T): Uint8Array {
  const out = new ByteWriter(16);
  type.encode(message, out);
  return out.copy();
}

/** The bytes that protobufjs makes of the same message. */
export function encodeTheirs(type: MessageType<unknown>, message: unknown): Uint8Array {
  const theirs = reflected(type);
  return theirs.encode(theirs.create(toTheirs(type, message))).finish();
}

/** protobufjs's decoding of `bytes`, encoded again without unknown fields and zeros. */
export function normalizeTheirs(type: MessageType<unknown>, bytes: Uint8Array): Uint8Array {
  const theirs = reflected(type);
  const object = theirs.toObject(theirs.decode(bytes));
  return theirs.encode(theirs.fromObject(withoutZeros(type, object))).finish();
}

/** protobufjs may write a zero that is set; proto3 leaves it out. */
function withoutZeros(type: MessageType<unknown>, object: Record<string, unknown>): object {
  const kept: Record<string, unknown> = {};
  for (const field of type.fields) {
    const value = object[field.name];
    if (value === undefined) continue;
    if (field.message !== undefined) {
      const inner = field.message();
      const strip = (each: unknown) => withoutZeros(inner, each as Record<string, unknown>);
      kept[field.name] = field.repeated ? (value as unknown[]).map(strip) : strip(value);
    } else if (field.oneof !== undefined || field.repeated || !isZero(value)) {
      kept[field.name] = value;
    }
  }
  return kept;
}

function isZero(value: unknown): boolean {
  if (Long.isLong(value)) return value.isZero();
  if (value instanceof Uint8Array || typeof value === "string") return value.length === 0;
  return value === 0 || value === 0n || value === false || value === null;
}

/** A message of ours as the plain object that protobufjs takes, zeros left out. */
export function toTheirs(type: MessageType<unknown>, message: unknown): Record<string, unknown> {
  const from = message as Record<string, unknown>;
  const object: Record<string, unknown> = {};
  for (const field of type.fields) {
    const value = from[field.jsonName];
    if (value === undefined) continue;
    if (field.repeated) {
      object[field.name] = (value as unknown[]).map((each) => valueToTheirs(field, each));
    } else if (field.oneof !== undefined || field.message !== undefined || !isZero(value)) {
      object[field.name] = valueToTheirs(field, value);
    }
  }
  return object;
}

function valueToTheirs(field: Field, value: unknown): unknown {
  switch (field.type) {
    case "message":
      return toTheirs((field.message as () => MessageType<unknown>)(), value);
    case "bytes":
      return typeof value === "string" ? Buffer.from(value, "latin1") : value;
    case "int64":
      return Long.fromString(String(value), false);
    case "uint64":
      return Long.fromString(String(value), true);
    default:
      return value;
  }
}

const SAFE = Number.MAX_SAFE_INTEGER;
const EDGES = [0, 1, 127, 128, 16383, 16384, 2 ** 28, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32];
const WIDE_EDGES = [...EDGES, 2 ** 35, 2 ** 42, 2 ** 49 - 1, 2 ** 49, SAFE];
const BIG_EDGES = [...WIDE_EDGES.map(BigInt), 2n ** 56n, 2n ** 62n, 2n ** 63n - 1n];

const rawBytes = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array({ maxLength: 20 }) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 120, maxLength: 300 }) },
  { weight: 1, arbitrary: fc.constant(new Uint8Array(40).fill(0xff)) },
);

function scalarOf(field: Field): fc.Arbitrary<unknown> {
  switch (field.type) {
    case "bool":
      return fc.boolean();
    case "string":
      return fc.string({ unit: "binary", maxLength: 40 });
    case "bytes":
      return field.form === "key"
        ? rawBytes.map((bytes) => Buffer.from(bytes).latin1Slice())
        : rawBytes;
    case "uint32":
      return fc.oneof(fc.constantFrom(...EDGES.slice(0, -1)), fc.nat({ max: 2 ** 32 - 1 }));
    case "int64":
    case "uint64":
      return field.form === "bigint" ? identityOf(field) : counterOf(field);
    default: // int32 and enum, known values and others
      return fc.oneof(fc.constantFrom(0, 1, 2, 3, -1, -(2 ** 31), 2 ** 31 - 1), fc.integer());
  }
}

function identityOf(field: Field): fc.Arbitrary<bigint> {
  if (field.type === "uint64") {
    return fc.oneof(
      fc.constantFrom(...BIG_EDGES, 2n ** 63n, 2n ** 64n - 1n),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    );
  }
  return fc.oneof(
    fc.constantFrom(...BIG_EDGES, -1n, -(2n ** 32n), -(2n ** 63n)),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  );
}

function counterOf(field: Field): fc.Arbitrary<number> {
  const positive = fc.oneof(fc.constantFrom(...WIDE_EDGES), fc.maxSafeNat());
  if (field.type === "uint64") return positive;
  return fc.oneof(positive, fc.constantFrom(-1, -(2 ** 32), -(2 ** 40) - 7, -SAFE));
}

/** Random messages of a type; those inside are at most `depth` deep. */
export function messagesOf(type: MessageType<unknown>, depth = 3): fc.Arbitrary<unknown> {
  const plain: Record<string, fc.Arbitrary<unknown>> = {};
  const oneofs = new Map<string, Field[]>();
  for (const field of type.fields) {
    if (field.oneof === undefined) plain[field.jsonName] = fieldOf(field, depth);
    else oneofs.set(field.oneof, [...(oneofs.get(field.oneof) ?? []), field]);
  }
  const choices = [...oneofs.values()].map((members) =>
    fc.oneof(
      fc.constant({}),
      ...members.map((field) => {
        return randomOf(field, depth).map((value) => ({ [field.jsonName]: value }));
      }),
    ),
  );
  return fc
    .tuple(fc.record(plain), ...choices)
    .map((parts) => type.create(Object.assign({}, ...parts) as Partial<unknown>));
}

function randomOf(field: Field, depth: number): fc.Arbitrary<unknown> {
  if (field.message === undefined) return scalarOf(field);
  const type = field.message();
  return depth === 0 ? fc.constant(type.create()) : messagesOf(type, depth - 1);
}

function fieldOf(field: Field, depth: number): fc.Arbitrary<unknown> {
  if (field.message !== undefined && depth === 0) {
    return fc.constant(field.repeated ? [] : undefined);
  }
  const value = randomOf(field, depth);
  if (field.repeated) return fc.array(value, { maxLength: 3 });
  if (field.message !== undefined) return fc.option(value, { nil: undefined });
  return value;
}
