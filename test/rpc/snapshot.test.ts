/** Snapshot: the chunks of a file, their hash, and clients that read slowly, or not, or go. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../src/base/errors.ts";
import { AetherMaintenance } from "../../src/proto/gen/aether.v1.ts";
import { Maintenance, SnapshotResponse } from "../../src/proto/gen/etcdserverpb.ts";
import {
  SnapshotService,
  type SnapshotSpool,
  type SnapshotSpools,
} from "../../src/rpc/snapshot.ts";
import type { StreamHandler, StreamMethod } from "../../src/wire/grpc/server-call.ts";
import { FakeCall } from "./harness.ts";

const CHUNK = 32 * 1024;
const NO_BYTES = new Uint8Array(0);

const VERSION = "3.6.0";

/** Spools of one content, made when the test says so. */
class FakeSpools implements SnapshotSpools {
  readonly content: Buffer;
  closed = 0;
  givenUp = 0;
  reads = 0;
  failing = false;
  done: ((made: SnapshotSpool | AetherError) => void) | undefined;

  constructor(bytes: number) {
    this.content = Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 7) % 251));
  }

  take(done: (made: SnapshotSpool | AetherError) => void): () => void {
    this.done = done;
    return () => this.givenUp++;
  }

  make(): void {
    this.done?.({
      bytes: this.content.length,
      version: VERSION,
      read: async (at, length) => {
        this.reads++;
        if (this.failing) throw new AetherError("unhealthy", "the disk is gone");
        return this.content.subarray(at, at + length);
      },
      close: () => this.closed++,
    });
  }
}

interface Begun {
  readonly service: SnapshotService;
  readonly call: FakeCall;
  readonly stream: StreamHandler;
}

function begin(spools: SnapshotSpools, path = Maintenance.Snapshot.path): Begun {
  const service = new SnapshotService(spools);
  const method = service.methods().find((each) => each.path === path) as StreamMethod;
  const call = new FakeCall(path);
  const stream = method.stream(call);
  stream.onMessage(NO_BYTES, 0, 0);
  stream.onHalfClose();
  return { service, call, stream };
}

/** Lets reads of the spool come back. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

const responses = (call: FakeCall): SnapshotResponse[] => call.decodeAll(SnapshotResponse);

describe("a snapshot", () => {
  for (const path of [Maintenance.Snapshot.path, AetherMaintenance.Snapshot.path]) {
    for (const bytes of [0, 4096, CHUNK, 3 * CHUNK + 512, 70 * CHUNK + 1]) {
      test(`${path}: ${bytes} bytes in chunks of 32 KiB, then their hash`, async () => {
        const spools = new FakeSpools(bytes);
        const { call, service } = begin(spools, path);
        spools.make();
        await settle();
        const all = responses(call);
        const hash = all.pop() ?? SnapshotResponse.create();
        expect(Buffer.concat(all.map(({ blob }) => blob)).equals(spools.content)).toBeTrue();
        let left = bytes;
        for (const { blob, remainingBytes, header } of all) {
          left -= blob.length;
          expect([remainingBytes, header]).toEqual([left, undefined]);
          expect(blob.length).toBe(left > 0 ? CHUNK : bytes % CHUNK || CHUNK);
        }
        const expected = new Bun.CryptoHasher("sha256").update(spools.content).digest();
        expect(expected.equals(Buffer.from(hash.blob))).toBeTrue();
        expect(hash.remainingBytes).toBe(0);
        for (const { version } of [...all, hash]) expect(version).toBe(VERSION);
        expect([call.text, spools.closed, service.underWay]).toEqual(["0", 1, 0]);
      });
    }
  }

  test("is not read on while the client does not take what there is", async () => {
    const spools = new FakeSpools(200 * CHUNK);
    const { call, stream } = begin(spools);
    call.writable = false;
    spools.make();
    await settle();
    expect([spools.reads, call.messages.length]).toEqual([1, 0]);
    call.writable = true;
    stream.onDrain();
    await settle();
    expect([call.text, call.messages.length]).toEqual(["0", 201]);
  });
});

describe("an end before the end", () => {
  test("a second request ends the call, and nothing of the first one is kept", () => {
    const making = begin(new FakeSpools(CHUNK));
    making.stream.onMessage(NO_BYTES, 0, 0);
    expect(making.call.text).toBe("13 more than one request message");
    const spools = new FakeSpools(CHUNK);
    const sending = begin(spools);
    sending.call.writable = false;
    spools.make();
    sending.stream.onMessage(NO_BYTES, 0, 0);
    expect([spools.closed, sending.service.underWay, sending.call.endings]).toEqual([1, 0, 1]);
  });

  test("a request that is none begins nothing", () => {
    const service = new SnapshotService(new FakeSpools(CHUNK));
    const [method] = service.methods() as StreamMethod[];
    const stream = method?.stream(new FakeCall(Maintenance.Snapshot.path));
    const noField = Uint8Array.of(0x00);
    expect(() => stream?.onMessage(noField, 0, 1)).toThrow(AetherError);
    expect(service.underWay).toBe(0);
  });

  test("the client goes while the snapshot is made: it is given up", () => {
    const spools = new FakeSpools(CHUNK);
    const { stream, service } = begin(spools);
    stream.onCancel();
    expect([spools.givenUp, spools.closed, service.underWay]).toEqual([1, 0, 0]);
  });

  test("the client goes while it is sent: its file is closed", async () => {
    const spools = new FakeSpools(100 * CHUNK);
    const { stream, call } = begin(spools);
    call.writable = false;
    spools.make();
    await settle();
    stream.onCancel();
    call.writable = true;
    stream.onDrain();
    await settle();
    expect([spools.closed, spools.givenUp, call.messages.length]).toEqual([1, 0, 0]);
  });

  test("it could not be made, or not be read: the call says why", async () => {
    const unmade = new FakeSpools(CHUNK);
    const first = begin(unmade);
    unmade.done?.(new AetherError("snapshot_no_room", "/data: 5 MB are free"));
    expect(first.call.text).toBe("8 /data: 5 MB are free");
    const unread = new FakeSpools(CHUNK);
    unread.failing = true;
    const second = begin(unread);
    unread.make();
    await settle();
    expect(second.call.text).toBe("14 etcdserver: unhealthy cluster");
    expect(unread.closed).toBe(1);
  });

  test("a client that reads nothing for a minute loses it, one that reads does not", async () => {
    const spools = new FakeSpools(100 * CHUNK);
    const { service, call } = begin(spools);
    call.writable = false;
    spools.make();
    await settle();
    service.tick(0);
    call.queuedBytes = 7; // it took something
    service.tick(59_000);
    service.tick(118_999);
    expect(call.text).toBe("open");
    service.tick(119_000);
    expect(call.text).toContain("1 ");
    expect(spools.closed).toBe(1);
  });

  test("the server ends", () => {
    const spools = new FakeSpools(CHUNK);
    const { service, call } = begin(spools);
    service.close(new AetherError("stopped"));
    expect([call.text, spools.givenUp]).toEqual(["14 etcdserver: server stopped", 1]);
  });
});
