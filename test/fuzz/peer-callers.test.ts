/** Heads of calls and parts of snapshots of whoever calls: let in, or refused with a reason. */
import { expect } from "bun:test";
import fc from "fast-check";
import { ByteWriter } from "../../src/base/bytes.ts";
import { Secret } from "../../src/base/secret.ts";
import { type Admission, admit, admitGuest } from "../../src/net/peers/admission.ts";
import type { SnapshotSink, SnapshotStore } from "../../src/net/peers/ports.ts";
import { challenged, Proofs } from "../../src/net/peers/proofs.ts";
import { PeerRefusal } from "../../src/net/peers/refusal.ts";
import { Snapshots } from "../../src/net/peers/snapshots.ts";
import { DecodeError } from "../../src/proto/decode-error.ts";
import { PeerHello, SnapshotPart } from "../../src/proto/gen/aether.v1.ts";
import { encodeBinary, FieldList } from "../../src/wire/grpc/metadata.ts";
import type { ServerCall } from "../../src/wire/grpc/server-call.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { CLUSTER, ID, Warnings } from "../net/peers/members.ts";
import { bytesOf } from "./any-message.ts";
import { fuzz } from "./fuzz.ts";

const SECRET = new Secret("known to members alone");

function admissionOf(secret: Secret | undefined): Admission {
  return {
    clusterId: CLUSTER,
    self: ID(1),
    knows: (id) => id === ID(2) || id === ID(1),
    isRemoved: (id) => id === ID(8),
    authorize: () => undefined,
    proofs: secret === undefined ? undefined : new Proofs(secret),
  };
}

const id = fc.constantFrom(0n, CLUSTER, ID(1), ID(2), ID(3), ID(8), 2n ** 64n - 1n);
const hello = fc
  .record(
    {
      ...{ format: fc.constantFrom(0, 1, 1, 1, 2), lane: fc.nat(5) },
      ...{ clusterId: id, fromMemberId: id, toMemberId: id, version: fc.string({ maxLength: 9 }) },
    },
    { requiredKeys: [] },
  )
  .map((drawn) => bytesOf(PeerHello, PeerHello.create(drawn)));
const field = fc.oneof(
  hello.map(encodeBinary),
  fc.uint8Array({ maxLength: 60 }).map(encodeBinary),
  fc.string({ maxLength: 20 }),
);
const head = fc.array(
  fc.tuple(fc.constantFrom("x-aether-peer-bin", "x-aether-peer-proof-bin", "other"), field),
  { maxLength: 4 },
);

/** A call as far as admission looks at it; what it ends with is the caller's business. */
class ToyCall implements Partial<ServerCall> {
  readonly path = "/aether.v1.AetherPeer/Raft";
  readonly peer = "10.0.0.1:5";
  readonly peerName = undefined;
  readonly connection = {};
  readonly metadata: FieldList;
  sent = 0;
  ends: (GrpcCode | undefined)[] = [];

  constructor(fields: readonly string[]) {
    this.metadata = new FieldList(fields);
  }
  send(): void {
    this.sent++;
  }
  finish(): void {
    this.ends.push(GrpcCode.OK);
  }
  fail(code: GrpcCode): void {
    this.ends.push(code);
  }
}

fuzz({
  name: "peer-head",
  inputs: [head, fc.uint8Array({ maxLength: 40 }), fc.boolean()],
  check(fields, nonce, hasSecret) {
    const admission = admissionOf(hasSecret ? SECRET : undefined);
    const call = new ToyCall(fields.flat()) as unknown as ServerCall;
    for (const ask of [
      () => challenged(admission.proofs, call, nonce),
      () => admit(call, admission),
      () => admitGuest(call, admission),
    ]) {
      try {
        const given = ask();
        if (!("hello" in given)) continue;
        expect(hasSecret).toBe(false); // nobody here has the key
        expect([0n, CLUSTER]).toContain(given.hello.clusterId);
        expect([0n, ID(1) as bigint]).toContain(given.hello.toMemberId);
      } catch (error) {
        expect(error instanceof PeerRefusal || error instanceof DecodeError).toBe(true);
      }
    }
  },
  runs: 4000,
});

const chunkData = fc.uint8Array({ maxLength: 6 });
const part = fc
  .oneof(
    fc
      .record({
        group: fc.constantFrom(0, 1, -1, 2 ** 53 - 1),
        message: fc.oneof(fc.constant(snapshotMessage()), fc.uint8Array({ maxLength: 80 })),
        size: fc.oneof(fc.nat(9), fc.constantFrom(-1, 2 ** 53 - 1)),
        sha256: fc.oneof(fc.uint8Array({ minLength: 32, maxLength: 32 }), chunkData),
      })
      .map((offer) => SnapshotPart.create({ offer })),
    fc
      .record({ offset: fc.oneof(fc.nat(9), fc.constant(-1)), data: chunkData, wrong: fc.nat(5) })
      .map(({ offset, data, wrong }) => {
        const crc = wrong === 0 ? 1 : Bun.hash.crc32(data);
        return SnapshotPart.create({ chunk: { offset, data, crc } });
      }),
  )
  .map((drawn) => bytesOf(SnapshotPart, drawn));

/** Of (index 9, term 1) with the voters 1 and 2, as message-codec.ts writes it. */
function snapshotMessage(): Uint8Array {
  const out = new ByteWriter(128);
  out.u8(9);
  for (const counter of [1n, 9n, 1n]) out.u64(counter);
  out.u8(0);
  out.u32(2);
  for (const voter of [ID(1), ID(2)]) out.u64(voter);
  for (let list = 0; list < 3; list++) out.u32(0);
  return out.copy();
}

/** Keeps what comes in memory, and installs nothing that is not whole. */
function memoryStore(): SnapshotStore & { openCount: number } {
  const store = {
    openCount: 0,
    open: async (): Promise<SnapshotSink> => {
      let kept = Buffer.alloc(0);
      store.openCount++;
      return {
        get length() {
          return kept.length;
        },
        read: async (offset, length) => kept.subarray(offset, offset + length),
        write: async (bytes) => {
          kept = Buffer.concat([kept, bytes]);
        },
        close: async () => void store.openCount--,
        discard: async () => void store.openCount--,
      };
    },
    install: async (_: unknown, sink: SnapshotSink) => await sink.close(),
  };
  return store;
}

fuzz({
  name: "peer-snapshot",
  inputs: [
    fc.array(fc.oneof({ weight: 5, arbitrary: part }, fc.uint8Array({ maxLength: 40 })), {
      maxLength: 12,
    }),
  ],
  async check(parts) {
    const [snapshots, store, call] = [new Snapshots(), memoryStore(), new ToyCall([])];
    const from = PeerHello.create({ fromMemberId: ID(2), toMemberId: ID(1) });
    const receiver = snapshots.receive(
      call as unknown as ServerCall,
      { hello: from, seals: undefined },
      {
        ...{ store, log: new Warnings(), scratch: new ByteWriter(64) },
        onRefused: () => undefined,
      },
    );
    for (const bytes of parts) {
      receiver.onMessage(bytes, 0, bytes.length);
      await Promise.resolve();
    }
    receiver.stop();
    await snapshots.stop();
    expect(call.ends).toHaveLength(1);
    expect(store.openCount).toBe(0);
  },
  runs: 1500,
});
