/**
 * The two messages that watches carry, by protobufjs from their definition: independent of the
 * encoding under test.
 */
import protobuf from "protobufjs";

const { root } = protobuf.parse(`syntax = "proto3";
message KeyValue {
  bytes key = 1; int64 create_revision = 2; int64 mod_revision = 3;
  int64 version = 4; bytes value = 5; int64 lease = 6;
}
message Event { int32 type = 1; KeyValue kv = 2; KeyValue prev_kv = 3; }
`);

export const KeyValue = root.lookupType("KeyValue");
const Event = root.lookupType("Event");

export interface DecodedKv {
  readonly key: string;
  readonly value: string;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
}

export interface DecodedEvent {
  readonly isDelete: boolean;
  readonly kv: DecodedKv;
  readonly prevKv: DecodedKv | undefined;
}

export function decodeEvent(bytes: Uint8Array): DecodedEvent {
  const plain = Event.toObject(Event.decode(bytes), { longs: Number, defaults: true });
  return {
    isDelete: plain.type === 1,
    kv: decodedKv(plain.kv),
    prevKv: plain.prevKv === null ? undefined : decodedKv(plain.prevKv),
  };
}

function decodedKv(plain: Record<string, unknown>): DecodedKv {
  return {
    key: Buffer.from(plain.key as Uint8Array).toString("latin1"),
    value: Buffer.from(plain.value as Uint8Array).toString("latin1"),
    createRevision: plain.createRevision as number,
    modRevision: plain.modRevision as number,
    version: plain.version as number,
  };
}
