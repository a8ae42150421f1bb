/**
 * What a message, an enum and a service look like to the rest of the program. The generated
 * modules (gen/, from ../../proto by scripts/generate.ts) are made of these shapes.
 *
 * In a message, scalars are always there (zero, "", false, empty when they were not on the wire),
 * nested messages and members of a oneof are there or undefined, repeated fields are arrays.
 */
import { assert } from "../base/assert.ts";
import type { ByteWriter } from "../base/bytes.ts";
import type { Reader } from "./reader.ts";

export type FieldType =
  | "bool"
  | "int32"
  | "uint32"
  | "int64"
  | "uint64"
  | "string"
  | "bytes"
  | "enum"
  | "message";

/**
 * How a field is held: 64-bit identities as bigint and 64-bit counters as safe integers; byte
 * strings that name keys as Latin-1 strings, other bytes as Uint8Array.
 */
export type FieldForm = "boolean" | "number" | "bigint" | "string" | "key" | "bytes" | "message";

export interface Field {
  /** As written in the proto file, and as etcd's JSON gateway has it. */
  readonly name: string;
  /** protobuf's JSON name, which is also the property's name in TypeScript. */
  readonly jsonName: string;
  readonly number: number;
  readonly type: FieldType;
  readonly form: FieldForm;
  readonly repeated: boolean;
  /** The oneof it belongs to. */
  readonly oneof: string | undefined;
  /** The type of a nested message; a function, since types refer to each other in circles. */
  readonly message: (() => MessageType<unknown>) | undefined;
  /** The type of an enum. */
  readonly enumType: EnumType | undefined;
}

export interface EnumType {
  readonly typeName: string;
  readonly values: Readonly<Record<string, number>>;
}

/** A message type with its codec. */
export interface MessageType<T> {
  /** With its package: "etcdserverpb.PutRequest". */
  readonly typeName: string;
  readonly fields: readonly Field[];
  /** A message with the given fields set and all others zero. */
  create(partial?: Partial<T>): T;
  /** Appends the message; fields in order of their numbers, zero scalars left out. */
  encode(message: T, out: ByteWriter): void;
  /** Decodes bytes[start, end); nothing of the result shares memory with `bytes`. DecodeError. */
  decode(bytes: Uint8Array, start: number, end: number): T;
  /** Reads up to the reader's end into `message`, as when a field occurs twice; returns it. */
  merge(reader: Reader, message: T): T;
}

export interface MethodType<Request, Response> {
  /** As in the `:path` of a call: "/etcdserverpb.KV/Range". */
  readonly path: string;
  readonly request: MessageType<Request>;
  readonly response: MessageType<Response>;
  /** The client sends a stream of requests, the server a stream of responses. */
  readonly clientStream: boolean;
  readonly serverStream: boolean;
}

/** One service as the table of all services (gen/registry.ts) lists it. */
export interface ServiceType {
  /** With its package: "etcdserverpb.KV". */
  readonly typeName: string;
  readonly methods: Readonly<Record<string, MethodType<unknown, unknown>>>;
}

/** One .proto file for the reflection service. */
export interface ProtoFile {
  /** As imports name it: "etcdserverpb/rpc.proto". */
  readonly name: string;
  readonly package: string;
  readonly imports: readonly string[];
  /** Fully qualified names of what it declares: messages, enums, services. */
  readonly symbols: readonly string[];
  /** A serialized google.protobuf.FileDescriptorProto in base64. */
  readonly descriptor: string;
}

/** A method before service() gives it its path. */
export type PathlessMethod<Request, Response> = Omit<MethodType<Request, Response>, "path">;

export function method<Request, Response>(
  request: MessageType<Request>,
  response: MessageType<Response>,
  clientStream: boolean,
  serverStream: boolean,
): PathlessMethod<Request, Response> {
  return { request, response, clientStream, serverStream };
}

type WithPaths<Methods> = {
  readonly [Name in keyof Methods]: Methods[Name] extends PathlessMethod<infer Req, infer Res>
    ? MethodType<Req, Res>
    : never;
};

/** The methods of a service by name, each with its path. */
export function service<Methods extends Record<string, PathlessMethod<unknown, unknown>>>(
  typeName: string,
  methods: Methods,
): WithPaths<Methods> {
  const paths: Record<string, MethodType<unknown, unknown>> = {};
  for (const [name, each] of Object.entries(methods)) {
    paths[name] = { path: `/${typeName}/${name}`, ...each };
  }
  return paths as WithPaths<Methods>;
}

/** A scalar field of a message's table. */
export function scalar(
  number: number,
  name: string,
  jsonName: string,
  type: FieldType,
  form: FieldForm,
  repeated = false,
  oneof?: string,
): Field {
  assert(type !== "enum" && type !== "message", "a scalar is neither enum nor message");
  return {
    name,
    jsonName,
    number,
    type,
    form,
    repeated,
    oneof,
    message: undefined,
    enumType: undefined,
  };
}

/** An enum field of a message's table. */
export function enumeration(
  number: number,
  name: string,
  jsonName: string,
  of: EnumType,
  repeated = false,
  oneof?: string,
): Field {
  const shape = { name, jsonName, number, repeated, oneof, message: undefined, enumType: of };
  return { ...shape, type: "enum", form: "number" };
}

/** A message field of a message's table. */
export function nested(
  number: number,
  name: string,
  jsonName: string,
  message: () => MessageType<unknown>,
  repeated = false,
  oneof?: string,
): Field {
  const shape = { name, jsonName, number, repeated, oneof, message, enumType: undefined };
  return { ...shape, type: "message", form: "message" };
}
