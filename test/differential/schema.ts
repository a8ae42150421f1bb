/**
 * The services and messages of etcd's packages as protobufjs reads them from proto/, and both ways
 * between plain data and bytes. It shares no code with the server.
 *
 * A tree is what was on the wire and nothing else: a default that was written out is there, one
 * that was left out is not, and a field that no proto file knows is there as "?number". 64-bit
 * numbers are decimal strings, bytes are Latin-1 strings, repeated fields are arrays.
 */
import { join } from "node:path";
import protobuf from "protobufjs";

export type Tree = null | boolean | number | string | Tree[] | { [name: string]: Tree };

export type TreeMessage = { [name: string]: Tree };

export interface Rpc {
  /** "KV/Range": services have names of their own throughout etcd's packages. */
  readonly name: string;
  readonly path: string;
  readonly request: protobuf.Type;
  readonly response: protobuf.Type;
  readonly clientStream: boolean;
  readonly serverStream: boolean;
}

const PROTO = join(import.meta.dir, "../../proto");

export const PACKAGES = ["etcdserverpb", "v3lockpb", "v3electionpb", "authpb", "mvccpb"] as const;

function load(): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => join(PROTO, target);
  root.loadSync([
    "etcdserverpb/rpc.proto",
    "v3lockpb/v3lock.proto",
    "v3electionpb/v3election.proto",
  ]);
  root.resolveAll();
  return root;
}

export const root = load();

/** Every RPC of etcd's packages by its name. */
export const RPCS: ReadonlyMap<string, Rpc> = new Map(
  PACKAGES.flatMap((name) => {
    const found = root.lookup(name) as protobuf.Namespace;
    return found.nestedArray.filter((each) => each instanceof protobuf.Service);
  }).flatMap((service) =>
    service.methodsArray.map((method): [string, Rpc] => {
      method.resolve();
      const name = `${service.name}/${method.name}`;
      const [request, response] = [method.resolvedRequestType, method.resolvedResponseType];
      if (request === null || response === null) throw new Error(`${name} has no messages`);
      return [
        name,
        {
          name,
          path: `/${service.fullName.slice(1)}/${method.name}`,
          request,
          response,
          clientStream: method.requestStream === true,
          serverStream: method.responseStream === true,
        },
      ];
    }),
  ),
);

export function rpcOf(name: string): Rpc {
  const rpc = RPCS.get(name);
  if (rpc === undefined) throw new Error(`no RPC ${name} in proto/`);
  return rpc;
}

/** Plain data as bytes: bytes fields are given as Latin-1 strings, numbers as they please. */
export function encode(type: protobuf.Type, body: object): Buffer {
  return Buffer.from(type.encode(type.fromObject(withBuffers(type, body))).finish());
}

function withBuffers(type: protobuf.Type, body: object): object {
  const entries = Object.entries(body).map(([name, value]): [string, unknown] => {
    const field = type.fields[name];
    if (field === undefined) throw new Error(`${type.fullName} has no field ${name}`);
    const one = (each: unknown): unknown => {
      if (typeof each === "bigint") return each.toString();
      if (field.type === "bytes" && typeof each === "string") return Buffer.from(each, "latin1");
      if (field.resolvedType instanceof protobuf.Type && each !== null) {
        return withBuffers(field.resolvedType, each as object);
      }
      return each;
    };
    return [name, Array.isArray(value) ? value.map(one) : one(value)];
  });
  return Object.fromEntries(entries);
}

/** What is on the wire, as a tree; throws on bytes that are no message. */
export function decode(type: protobuf.Type, bytes: Uint8Array): TreeMessage {
  const reader = protobuf.Reader.create(bytes);
  const tree: TreeMessage = {};
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const field = type.fieldsById[tag >>> 3];
    if (field === undefined) {
      const from = reader.pos;
      reader.skipType(tag & 7);
      tree[`?${tag >>> 3}`] = Buffer.from(bytes.subarray(from, reader.pos)).toString("hex");
      continue;
    }
    if (!field.repeated) {
      // Twice on the wire: both are shown, so it is not taken for one.
      const value = scalarOrMessage(field, reader);
      tree[field.name] = field.name in tree ? [tree[field.name] as Tree, value] : value;
      continue;
    }
    const list = (tree[field.name] ?? []) as Tree[];
    tree[field.name] = list;
    const isPacked = (tag & 7) === 2 && field.typeDefault !== null && isNumeric(field);
    if (!isPacked) list.push(scalarOrMessage(field, reader));
    else {
      const end = reader.uint32() + reader.pos;
      while (reader.pos < end) list.push(scalarOrMessage(field, reader));
    }
  }
  return tree;
}

function isNumeric(field: protobuf.Field): boolean {
  return (
    field.type !== "string" &&
    field.type !== "bytes" &&
    !(field.resolvedType instanceof protobuf.Type)
  );
}

function scalarOrMessage(field: protobuf.Field, reader: protobuf.Reader): Tree {
  if (field.resolvedType instanceof protobuf.Type)
    return decode(field.resolvedType, reader.bytes());
  if (field.resolvedType instanceof protobuf.Enum) return reader.int32();
  switch (field.type) {
    case "bytes":
      return Buffer.from(reader.bytes()).toString("latin1");
    case "string":
      return reader.string();
    case "bool":
      return reader.bool();
    case "int64":
      return reader.int64().toString();
    case "uint64":
      return reader.uint64().toString();
    case "int32":
      return reader.int32();
    case "uint32":
      return reader.uint32();
    default:
      throw new Error(`${field.fullName} has type ${field.type}, which etcd does not use`);
  }
}
