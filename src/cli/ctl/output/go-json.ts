/**
 * JSON as etcdctl prints it, which is neither protobuf's mapping nor that of the gateway: fields
 * under their proto names, 64-bit integers as plain digits (exact: never through a double), enums
 * as numbers, bytes in base64, zero values left out, `<`, `>` and `&` escaped as Go's encoder does.
 * A oneof appears under its capitalised name: `{"Response":{"response_put":{…}}}`.
 */
import { bytesOf, type Key } from "../../../base/bytes.ts";
import type { Field, MessageType } from "../../../proto/message.ts";

export type Json = string | number | bigint | boolean | null | readonly Json[] | JsonObject;
export interface JsonObject {
  [name: string]: Json;
}

/** The message as an object for stringify(). */
export function messageJson<T>(type: MessageType<T>, message: T): JsonObject {
  const json: JsonObject = {};
  for (const field of type.fields) {
    const value = (message as Record<string, unknown>)[field.jsonName];
    if (field.repeated) {
      const list = value as readonly unknown[];
      if (list.length > 0) json[field.name] = list.map((each) => valueJson(field, each));
    } else if (field.oneof !== undefined) {
      if (value !== undefined)
        json[capitalised(field.oneof)] = { [field.name]: valueJson(field, value) };
    } else if (!isZero(value)) {
      json[field.name] = valueJson(field, value);
    }
  }
  return json;
}

function isZero(value: unknown): boolean {
  if (value instanceof Uint8Array) return value.length === 0;
  return value === undefined || value === 0 || value === 0n || value === "" || value === false;
}

function valueJson(field: Field, value: unknown): Json {
  if (field.type === "message") {
    const type = field.message as () => MessageType<unknown>;
    return messageJson(type(), value);
  }
  if (field.type === "bytes") return base64(value as Key | Uint8Array);
  return value as Json;
}

/** Bytes as Go's encoder prints them. */
export function base64(bytes: Key | Uint8Array): string {
  return Buffer.from(typeof bytes === "string" ? bytesOf(bytes) : bytes).toString("base64");
}

function capitalised(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** One line, members in the order in which they were set. */
export function stringify(json: Json): string {
  if (typeof json === "string") return stringJson(json);
  if (typeof json !== "object" || json === null) return String(json);
  if (isList(json)) return `[${json.map(stringify).join(",")}]`;
  const members = Object.entries(json).map(
    ([name, value]) => `${stringJson(name)}:${stringify(value)}`,
  );
  return `{${members.join(",")}}`;
}

function isList(json: readonly Json[] | JsonObject): json is readonly Json[] {
  return Array.isArray(json);
}

function stringJson(text: string): string {
  return JSON.stringify(text).replace(/[<>&\u2028\u2029]/g, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
