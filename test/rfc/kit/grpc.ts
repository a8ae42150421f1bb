/** gRPC calls over a raw connection, written from gRPC's "PROTOCOL-HTTP2" document. */
import { block, type Field } from "./hpack.ts";
import { type Answer, fieldOf, type Peer } from "./peer.ts";
import { data, Flag, headers, windowUpdate } from "./wire.ts";

export const RANGE = "/etcdserverpb.KV/Range";
export const PUT = "/etcdserverpb.KV/Put";

/** The head of a call. */
export function callFields(path: string, ...more: readonly Field[]): Field[] {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "127.0.0.1"],
    ["te", "trailers"],
    ...(more.some(([name]) => name === "content-type")
      ? []
      : [["content-type", "application/grpc"] as const]),
    ...more,
  ];
}

/** Length-Prefixed-Message. */
export function message(bytes: Uint8Array, compressed = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(compressed, 0);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

/** A protobuf message of length-delimited fields, numbered from 1. */
export function protobuf(...values: readonly (string | Uint8Array)[]): Buffer {
  const parts: Buffer[] = [];
  for (const [at, value] of values.entries()) {
    const bytes = Buffer.from(value);
    parts.push(Buffer.from([((at + 1) << 3) | 2]), varint(bytes.length), bytes);
  }
  return Buffer.concat(parts);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** Sends the head of a call alone; its stream. */
export function begin(peer: Peer, fields: readonly Field[]): number {
  const id = peer.newId();
  peer.send(headers(id, block(fields)));
  return id;
}

/** A whole call of one message; its stream. */
export function call(
  peer: Peer,
  fields: readonly Field[],
  payload: Uint8Array = message(protobuf("key")),
): number {
  const id = begin(peer, fields);
  peer.send(data(id, payload, Flag.END_STREAM));
  return id;
}

/** Stores a value of up to 60 KiB, which fits the windows that everybody begins with. */
export async function put(peer: Peer, key: string, bytes: number): Promise<void> {
  const id = peer.newId();
  const whole = message(protobuf(key, Buffer.alloc(bytes, "v")));
  const pieces: Buffer[] = [];
  for (let at = 0; at < whole.length; at += 16_384) {
    const last = at + 16_384 >= whole.length;
    pieces.push(data(id, whole.subarray(at, at + 16_384), last ? Flag.END_STREAM : 0));
  }
  peer.send(headers(id, block(callFields(PUT))), ...pieces, windowUpdate(0, 16_384));
  const code = statusOf(await peer.answer(id));
  if (code !== "0") throw new Error(`put failed with ${code}`);
}

/** Where the status stands: in the trailers, or in the head of a Trailers-Only answer. */
export function statusOf(answer: Answer): string | undefined {
  return fieldOf(sectionOf(answer), "grpc-status");
}

/** As it stands on the wire, percent-encoded. */
export function messageOf(answer: Answer): string | undefined {
  return fieldOf(sectionOf(answer), "grpc-message");
}

function sectionOf({ head, trailers }: Answer): readonly Field[] {
  return trailers.length > 0 ? trailers : head;
}
