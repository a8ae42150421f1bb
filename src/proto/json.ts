/**
 * protobuf's JSON mapping (protobuf.dev/programming-guides/json), driven by the messages' tables,
 * as etcd's gateway speaks it: fields under their proto names, bytes in base64, 64-bit integers as
 * strings, enums by name, zero values left out (members of a oneof never are), unknown fields
 * and unknown names of enums ignored. Input may also use JSON names, numbers for 64-bit integers
 * and for enums, either base64 alphabet, and null for an absent field. Where protobuf leaves a
 * choice, it is that of Go's protojson with DiscardUnknown, which reads etcd's.
 *
 * JSON's numbers lose 64-bit ids: parseJson() keeps long integers exact, JSON.parse() does not.
 */
import { type Key, latin1 } from "../base/bytes.ts";
import { DecodeError } from "./decode-error.ts";
import type { EnumType, Field, MessageType } from "./message.ts";
import { DEPTH_MAX } from "./reader.ts";

export type JsonValue = string | number | boolean | JsonValue[] | JsonObject;
export interface JsonObject {
  [name: string]: JsonValue;
}

type Fields = Record<string, unknown>;

/** The JSON form of a message, for JSON.stringify. */
export function toJson<T>(type: MessageType<T>, message: T): JsonObject {
  const json: JsonObject = {};
  const from = message as Fields;
  for (const field of type.fields) {
    const value = from[field.jsonName];
    if (field.repeated) {
      const list = value as unknown[];
      if (list.length > 0) json[field.name] = list.map((each) => valueToJson(field, each));
    } else if (value !== undefined && (field.oneof !== undefined || !isZero(value))) {
      json[field.name] = valueToJson(field, value);
    }
  }
  return json;
}

function isZero(value: unknown): boolean {
  if (value instanceof Uint8Array) return value.length === 0;
  return value === 0 || value === 0n || value === "" || value === false;
}

function valueToJson(field: Field, value: unknown): JsonValue {
  switch (field.type) {
    case "message":
      return toJson(messageOf(field), value);
    case "enum":
      return enumName(field.enumType as EnumType, value as number) ?? (value as number);
    case "bytes":
      return bytesToBase64(value as Key | Uint8Array);
    case "int64":
    case "uint64":
      return String(value);
    default:
      return value as string | number | boolean;
  }
}

/** The name of an enum's value, or undefined when this program does not know it. */
export function enumName(type: EnumType, value: number): string | undefined {
  for (const name of Object.keys(type.values)) {
    if (type.values[name] === value) return name;
  }
  return undefined;
}

function messageOf(field: Field): MessageType<unknown> {
  return (field.message as () => MessageType<unknown>)();
}

function bytesToBase64(value: Key | Uint8Array): string {
  const bytes = typeof value === "string" ? Buffer.from(value, "latin1") : Buffer.from(value);
  return bytes.toString("base64");
}

/** Parses JSON text; integers too long for a number become bigint. DecodeError when it is none. */
export function parseJson(text: string): unknown {
  try {
    // Few texts hold a number of 16 digits or more; only those pay for a reviver.
    return /\d{16}/.test(text) ? JSON.parse(text, EXACT) : JSON.parse(text);
  } catch (error) {
    throw new DecodeError("the text is not JSON", { cause: error });
  }
}

/** TypeScript's library does not know the third argument yet, with the text of a number. */
const EXACT = keepLongIntegers as (name: string, value: unknown) => unknown;

function keepLongIntegers(_name: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context.source ?? "";
  return /^-?\d+$/.test(source) ? BigInt(source) : value;
}

/** The message that a parsed JSON value means. DecodeError when it means none. */
export function fromJson<T>(type: MessageType<T>, json: unknown): T {
  return messageFromJson(type, json, 0);
}

function messageFromJson<T>(type: MessageType<T>, json: unknown, depth: number): T {
  if (depth > DEPTH_MAX) throw new DecodeError("JSON is nested too deep");
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new DecodeError(`${type.typeName} is no JSON object`);
  }
  const message = type.create();
  const to = message as Fields;
  const seen = new Set<string>();
  for (const field of type.fields) {
    const given = ownValue(json as Fields, field);
    if (given === undefined || given === null) continue;
    const value = field.repeated
      ? listFromJson(field, given, depth)
      : valueFromJson(field, given, depth);
    if (value === undefined) continue;
    if (field.oneof !== undefined) {
      if (seen.has(field.oneof)) throw new DecodeError(`two members of ${field.oneof} are set`);
      seen.add(field.oneof);
    }
    to[field.jsonName] = value;
  }
  return message;
}

function ownValue(json: Fields, field: Field): unknown {
  const { name, jsonName } = field;
  const byJsonName = Object.hasOwn(json, jsonName) ? json[jsonName] : undefined;
  if (name === jsonName || !Object.hasOwn(json, name)) return byJsonName;
  if (byJsonName !== undefined) throw new DecodeError(`${name} is given under both of its names`);
  return json[name];
}

function listFromJson(field: Field, json: unknown, depth: number): unknown[] {
  if (!Array.isArray(json)) throw wrong(field, "a list");
  const list = json.map((each) => valueFromJson(field, each, depth));
  return list.filter((each) => each !== undefined);
}

/** Undefined for a name that its enum does not have: it is ignored as an unknown field is. */

function valueFromJson(field: Field, json: unknown, depth: number): unknown {
  switch (field.type) {
    case "message":
      return messageFromJson(messageOf(field), json, depth + 1);
    case "enum":
      return enumFromJson(field, json);
    case "bool":
      if (typeof json !== "boolean") throw wrong(field, "true or false");
      return json;
    case "string":
      if (typeof json !== "string" || !json.isWellFormed()) throw wrong(field, "a text");
      return json;
    case "bytes":
      return bytesFromJson(field, json);
    default:
      return integerFromJson(field, json);
  }
}

function enumFromJson(field: Field, json: unknown): number | undefined {
  if (typeof json !== "string") return integerFromJson(field, json) as number;
  const { values } = field.enumType as EnumType;
  return Object.hasOwn(values, json) ? values[json] : undefined;
}

/** Base64 of one of the two alphabets. */
const BASE64 = /^(?:[A-Za-z0-9+/]*|[A-Za-z0-9_-]*)(={0,2})$/;

function bytesFromJson(field: Field, json: unknown): Key | Uint8Array {
  if (typeof json !== "string") throw wrong(field, "base64");
  const text = /[\r\n]/.test(json) ? json.replaceAll(/[\r\n]/g, "") : json;
  const match = BASE64.exec(text);
  if (match === null) throw wrong(field, "base64");
  // Whole groups of four, padded if need be; or not padded, and no group of one character. Line
  // breaks mean nothing, but count for which of the two it is: that is how Go reads it.
  const isWhole =
    json.length % 4 === 0 ? text.length % 4 === 0 : match[1] === "" && text.length % 4 !== 1;
  if (!isWhole) throw wrong(field, "base64");
  const bytes = Buffer.from(text, "base64"); // takes both alphabets
  return field.form === "key" ? latin1(bytes) : new Uint8Array(bytes);
}

/** The values that each integer type can hold. */
const RANGES = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
} as const;

function integerFromJson(field: Field, json: unknown): number | bigint {
  const value = wholeNumber(json);
  const type = field.type === "enum" ? "int32" : (field.type as keyof typeof RANGES);
  const [least, most] = RANGES[type];
  if (value === undefined || value < least || value > most) throw wrong(field, `an ${type}`);
  if (field.form === "bigint") return value;
  return clamped(Number(value));
}

/** A counter, as the codec reads it: what no number holds exactly means the largest one that is. */
function clamped(value: number): number {
  const most = Number.MAX_SAFE_INTEGER;
  return Math.max(-most, Math.min(most, value));
}

/** 20 characters are as many as a 64-bit integer can have. */
const DECIMAL = /^-?(?:0|[1-9]\d{0,19})$/;

/** A number as JSON writes it, with a fraction or an exponent of reasonable length. */
const FLOAT = /^-?(?:0|[1-9]\d{0,19})(?:\.\d{1,20})?(?:[eE][+-]?\d{1,3})?$/;

/** A whole number given as bigint, number or the text of one; undefined when it is none. */
function wholeNumber(json: unknown): bigint | undefined {
  if (typeof json === "bigint") return json;
  if (typeof json === "string") {
    if (DECIMAL.test(json)) return BigInt(json);
    return FLOAT.test(json) ? wholeNumber(Number(json)) : undefined;
  }
  return typeof json === "number" && Number.isInteger(json) ? BigInt(json) : undefined;
}

function wrong(field: Field, expected: string): DecodeError {
  return new DecodeError(`${field.name} must be ${expected}`);
}
