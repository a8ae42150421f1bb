/** Snapshots: whole, broken off and taken up again, spoilt, refused, canceled, throttled. */
import { describe, expect, test } from "bun:test";
import { AetherError } from "../../../src/base/errors.ts";
import { Prng } from "../../../src/base/prng.ts";
import type {
  PeerTimers,
  SnapshotNews,
  SnapshotSink,
  SnapshotSource,
  SnapshotStore,
} from "../../../src/net/peers/ports.ts";
import { CHUNK_BYTES } from "../../../src/net/peers/snapshot-limits.ts";
import type { SnapshotTransfer } from "../../../src/net/peers/snapshot-sender.ts";
import { Throttle } from "../../../src/net/peers/throttle.ts";
import type { SnapshotMessage } from "../../../src/raft/message.ts";
import { until } from "../until.ts";
import { ID, introduce, pipedMember } from "./members.ts";
import { type Pipe, PipeNet, turn } from "./pipes.ts";

/** Real time, twenty times as fast. */
const HASTY: PeerTimers = {
  nowMs: () => performance.now() * 20,
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs / 20);
    return () => clearTimeout(timer);
  },
};

class MemoryStore implements SnapshotStore {
  readonly kept = new Map<string, Buffer>();
  readonly installed: { news: SnapshotNews; bytes: Buffer }[] = [];
  /** Offsets at which copies were opened. */
  readonly opened: number[] = [];
  discarded = 0;
  openSinks = 0;
  openSinksMax = 0;
  refusal: AetherError | undefined;
  beforeWrite: () => Promise<void> = () => Promise.resolve();

  async open(news: SnapshotNews): Promise<SnapshotSink> {
    if (this.refusal !== undefined) throw this.refusal;
    const name = Buffer.from(news.sha256).toString("hex");
    this.openSinksMax = Math.max(this.openSinksMax, ++this.openSinks);
    this.opened.push(this.kept.get(name)?.length ?? 0);
    return new MemorySink(this, name);
  }

  async install(news: SnapshotNews, sink: SnapshotSink): Promise<void> {
    this.installed.push({ news, bytes: Buffer.from(await sink.read(0, sink.length)) });
    await sink.close();
  }
}

class MemorySink implements SnapshotSink {
  readonly #store: MemoryStore;
  readonly #name: string;

  constructor(store: MemoryStore, name: string) {
    this.#store = store;
    this.#name = name;
  }
  get #bytes(): Buffer {
    return this.#store.kept.get(this.#name) ?? Buffer.alloc(0);
  }
  get length(): number {
    return this.#bytes.length;
  }
  async read(offset: number, length: number): Promise<Uint8Array> {
    return this.#bytes.subarray(offset, offset + length);
  }
  async write(bytes: Uint8Array): Promise<void> {
    await this.#store.beforeWrite();
    this.#store.kept.set(this.#name, Buffer.concat([this.#bytes, bytes]));
  }
  async close(): Promise<void> {
    this.#store.openSinks--;
  }
  async discard(): Promise<void> {
    this.#store.discarded++;
    this.#store.kept.delete(this.#name);
    this.#store.openSinks--;
  }
}

function sourceOf(bytes: Uint8Array): SnapshotSource {
  const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest();
  return {
    size: bytes.length,
    sha256,
    read: async (offset, length) => bytes.subarray(offset, offset + length),
  };
}

function content(size: number, seed: number): Uint8Array {
  const random = new Prng(seed);
  const words = new Uint32Array(Math.ceil(size / 4));
  for (let i = 0; i < words.length; i++) words[i] = random.u32();
  return new Uint8Array(words.buffer, 0, size);
}

const MESSAGE: SnapshotMessage = {
  type: "snapshot",
  from: ID(1),
  to: ID(2),
  term: 4,
  meta: {
    index: 900,
    term: 3,
    configuration: {
      voters: [ID(1), ID(2)],
      votersOutgoing: [ID(1)],
      learners: [],
      learnersNext: [],
      autoLeave: true,
    },
  },
};

const SIZE = 3 * CHUNK_BYTES + 12_345;

interface World {
  readonly net: PipeNet;
  readonly a: ReturnType<typeof pipedMember>;
  readonly b: ReturnType<typeof pipedMember>;
  readonly store: MemoryStore;
  readonly bytes: Uint8Array;
  send(bytes?: Uint8Array): SnapshotTransfer;
}

async function world(seed: number, snapshotBytesPerSecond = 1e12): Promise<World> {
  const net = new PipeNet(HASTY, seed);
  const a = pipedMember(1, net, HASTY, { snapshotBytesPerSecond });
  const b = pipedMember(2, net, HASTY);
  const store = new MemoryStore();
  b.seen.snapshots = store;
  introduce(a, b);
  await turn();
  const bytes = content(SIZE, seed);
  const send = (other = bytes): SnapshotTransfer =>
    a.peers.sendSnapshot(1, MESSAGE, sourceOf(other));
  return { net, a, b, store, bytes, send };
}

/** The last connection that was made, as a snapshot's is. */
const lastPipe = (net: PipeNet): Pipe => net.pipes.at(-1) as Pipe;

async function codeOf(done: Promise<void>): Promise<string> {
  try {
    await done;
    return "done";
  } catch (error) {
    return error instanceof AetherError ? error.code : String(error);
  }
}

describe("a snapshot", () => {
  test("arrives whole, with Raft's message, on a connection of its own", async () => {
    const { net, a, b, store, bytes, send } = await world(1);
    const transfer = send();
    await transfer.done;
    expect(transfer.offset).toBe(SIZE);
    expect(store.installed).toHaveLength(1);
    expect(store.installed[0]?.news).toMatchObject({ group: 1, message: MESSAGE, size: SIZE });
    expect(Buffer.compare(store.installed[0]?.bytes ?? Buffer.alloc(0), bytes)).toBe(0);
    expect(store.openSinks).toBe(0);
    await until(() => net.open.length === 4, "its connection is closed");
    await a.peers.stop();
    await b.peers.stop();
  });

  test("of nothing is one too", async () => {
    const { store, send } = await world(2);
    await send(new Uint8Array(0)).done;
    expect(store.installed[0]?.bytes).toHaveLength(0);
  });

  test("whose last answer was lost is not installed twice", async () => {
    const { net, store, send } = await world(19);
    const install = store.install.bind(store);
    let once = true;
    store.install = async (news, sink) => {
      await install(news, sink);
      if (once) lastPipe(net).cut();
      once = false;
    };
    await send().done;
    expect(store.installed).toHaveLength(1);
    store.kept.clear();
    await send(content(100, 2)).done; // another one is, of course
    expect(store.installed).toHaveLength(2);
  });

  for (const seed of [11, 12, 13, 14, 15, 16]) {
    test(`broken off at places of chance (seed ${seed}) goes on where it ended`, async () => {
      const { net, store, bytes, send } = await world(seed);
      const random = new Prng(seed);
      let cuts = 4;
      net.onPipe = (pipe) => {
        if (cuts-- <= 0) return;
        let left = random.below(SIZE * 0.6);
        pipe.spoil = (piece) => {
          left -= piece.length;
          if (left < 0) setImmediate(() => pipe.cut());
        };
      };
      await send().done;
      expect(Buffer.compare(store.installed[0]?.bytes ?? Buffer.alloc(0), bytes)).toBe(0);
      expect(store.installed).toHaveLength(1);
      expect(store.openSinks).toBe(0);
      expect(store.openSinksMax).toBe(1);
      expect(store.opened.toSorted((x, y) => x - y)).toEqual(store.opened); // it only grew
      expect(store.opened.at(-1)).toBeGreaterThan(0);
    });
  }

  test("with a byte changed on the way is sent again from there", async () => {
    const { net, b, store, bytes, send } = await world(3);
    let once = true;
    net.onPipe = (pipe) => {
      pipe.spoil = (piece) => {
        if (!once || piece.length < 30_000) return;
        once = false;
        piece[20_000] = (piece[20_000] as number) ^ 1;
      };
    };
    await send().done;
    expect(b.peers.received.refused.corrupt).toBe(1);
    expect(store.discarded).toBe(0); // the chunk's own checksum told, not the whole's hash
    expect(Buffer.compare(store.installed[0]?.bytes ?? Buffer.alloc(0), bytes)).toBe(0);
  });

  test("whose kept part is spoilt is thrown away and begun anew", async () => {
    const { store, bytes, send } = await world(4);
    const name = Buffer.from(sourceOf(bytes).sha256).toString("hex");
    store.kept.set(name, Buffer.alloc(CHUNK_BYTES + 5, 1));
    await send().done;
    expect(store.opened).toEqual([CHUNK_BYTES + 5, 0]);
    expect(store.discarded).toBe(1);
    expect(Buffer.compare(store.installed[0]?.bytes ?? Buffer.alloc(0), bytes)).toBe(0);
  });

  test("that never fits its hash is given up, and nothing is installed", async () => {
    const { a, store, bytes } = await world(5);
    const source = { ...sourceOf(bytes), sha256: new Uint8Array(32) };
    expect(await codeOf(a.peers.sendSnapshot(1, MESSAGE, source).done)).toBe("unhealthy");
    expect(store.installed).toEqual([]);
    expect(store.discarded).toBeGreaterThan(1);
  });

  test("that is not wanted is not tried twice", async () => {
    const { store, send } = await world(6);
    store.refusal = new AetherError("no_space", "disk full");
    expect(await codeOf(send().done)).toBe("no_space");
    expect(store.opened).toEqual([]);
    store.refusal = undefined;
    await send().done;
  });

  test("that cannot be a state is counted and told, and is not tried twice", async () => {
    const { b, store, send } = await world(14);
    store.refusal = new AetherError("corrupt", "row 7: it holds no key and value");
    expect(await codeOf(send().done)).toBe("corrupt");
    expect(b.peers.received.refused.corrupt).toBe(1);
    expect(b.log.lines.join("\n")).toContain("row 7: it holds no key and value");
    expect(store.installed).toEqual([]);
  });

  test("may be canceled, and the next one to the peer begins after it", async () => {
    const { a, store, send } = await world(7);
    const { promise, resolve } = Promise.withResolvers<void>();
    let writing = false;
    store.beforeWrite = () => {
      writing = true;
      return promise;
    };
    const first = send();
    await until(() => writing, "the disk is slow");
    expect(() => send()).toThrow("too_many_requests");
    first.cancel();
    expect(await codeOf(first.done)).toBe("canceled");
    const second = send();
    for (let i = 0; i < 10; i++) await turn();
    expect(store.openSinksMax).toBe(1); // it waits for the first one's sink
    resolve();
    await second.done;
    expect(store.openSinksMax).toBe(1);
    expect(a.seen.unreachable).toEqual([]);
  });

  test("holds no more than eight chunks for a slow disk", async () => {
    const { net, store, send } = await world(8);
    let waiting = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    store.beforeWrite = () => promise;
    let received = 0;
    net.onPipe = (pipe) => {
      pipe.spoil = (piece) => {
        received += piece.length;
      };
    };
    const transfer = send(content(20 * CHUNK_BYTES, 8));
    await until(() => received > 8 * CHUNK_BYTES, "eight chunks");
    await turn();
    waiting = received;
    expect(waiting).toBeLessThan(8.1 * CHUNK_BYTES);
    resolve();
    await transfer.done;
  });

  test("to a member that is removed ends", async () => {
    const { a, store, send } = await world(9);
    store.beforeWrite = () => new Promise(() => undefined);
    const transfer = send();
    await until(() => store.opened.length === 1, "it has begun");
    a.peers.setPeers([]);
    expect(await codeOf(transfer.done)).toBe("canceled");
    expect(() => send()).toThrow("member_not_found");
  });

  test("to nobody at home is given up after some attempts", async () => {
    const { net, a, b, send } = await world(10);
    await b.peers.stop();
    net.servers.clear();
    expect(await codeOf(send().done)).toBe("unhealthy");
    await a.peers.stop();
  });

  test("from a source that fails, fails as it did", async () => {
    const { a, net, bytes } = await world(17);
    const read = (): Promise<Uint8Array> => Promise.reject(new Error("disk on fire"));
    const { done } = a.peers.sendSnapshot(1, MESSAGE, { ...sourceOf(bytes), read });
    expect(await codeOf(done)).toBe("Error: disk on fire");
    await until(() => lastPipe(net).closed, "its connection is closed");
  });
});

test("the throttle keeps its rate over any pieces, after a burst", () => {
  const throttle = new Throttle(1_000_000, 50_000, 0);
  expect(throttle.take(50_000, 0)).toBe(0);
  expect(throttle.take(10_000, 0)).toBe(10);
  expect(throttle.take(200_000, 10)).toBe(200);
  expect(throttle.take(1_000, 210)).toBe(1);
  expect(throttle.take(50_000, 10_000)).toBe(0); // no more than the burst is saved up
  expect(throttle.take(50_000, 10_000)).toBe(50);
});

test("a transfer takes as long as the rate says", async () => {
  // 12 chunks at two a (hasty) second, of which eight are the burst.
  const { send } = await world(18, 2 * CHUNK_BYTES);
  const startMs = HASTY.nowMs();
  await send(content(12 * CHUNK_BYTES, 18)).done;
  expect(HASTY.nowMs() - startMs).toBeGreaterThan(1_900);
});
