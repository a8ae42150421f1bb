/**
 * Random legal and illegal frames against a server, with fixed seeds. After each chunk verify()
 * looks at every window, count and bound; the model knows how much the peer may send and be sent.
 */
import { describe, expect, test } from "bun:test";
import { Prng } from "../../../src/base/prng.ts";
import type { ServerCall } from "../../../src/wire/grpc/server-call.ts";
import { SERVER_LIMITS } from "../../../src/wire/http2/limits.ts";
import {
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  type Frame,
  frame,
  HEADERS,
  message,
  NONE,
  PATH,
  PING,
  PRIORITY,
  RawClient,
  RST_STREAM,
  requestFields,
  STREAM_PATH,
  settings,
  u32,
  WINDOW_UPDATE,
} from "./kit.ts";

const LIMITS = { ...SERVER_LIMITS, concurrentStreamsMax: 20, grantBytesMax: 100_000 };
const PATHS = [PATH, STREAM_PATH, "/test.Service/Late", "/no.Such/Method"];

/** A client that keeps to the rules it can know, unless told to break one. */
class Walker {
  readonly client: RawClient;
  readonly #prng: Prng;
  readonly #late: ServerCall[];
  readonly #open: number[] = [];
  readonly #sendWindows = new Map<number, number>();
  readonly #recvWindows = new Map<number, number>();
  readonly #unsent = new Map<number, Buffer>();
  #connectionRecv = 65_535;
  #initial = 65_535;
  #nextId = 1;

  constructor(seed: number) {
    this.#prng = new Prng(seed);
    this.client = RawClient.open({ limits: LIMITS });
    this.#late = this.client.seen.calls;
  }

  step(): void {
    const client = this.client;
    client.frames = [];
    client.nowMs += this.#prng.below(50);
    // SETTINGS come alone, so that the model knows under which windows DATA was sent.
    const parts = this.#prng.chance(10)
      ? [this.#settings()]
      : Array.from({ length: 1 + this.#prng.below(4) }, () => this.#part());
    const bytes = Buffer.concat(parts);
    const cut = this.#prng.below(bytes.length + 1);
    client.send(bytes.subarray(0, cut)).send(bytes.subarray(cut));
    if (this.#prng.chance(50)) this.#serve();
    if (this.#prng.chance(5)) client.tick(client.nowMs);
    client.server.onWritable(client.nowMs);
    client.read();
    for (const one of client.frames) this.#account(one);
  }

  #part(): Buffer {
    const kind = this.#prng.below(12);
    const id = this.#open.length > 0 ? this.#prng.pick(this.#open) : 0;
    if (kind < 3 || id === 0) return this.#newStream();
    if (kind < 6) return this.#data(id);
    if (kind === 6) return this.#update(this.#prng.chance(50) ? 0 : id);
    if (kind === 7) return frame(PRIORITY, 0, id, Buffer.alloc(5));
    if (kind === 8 && this.#prng.chance(20)) return this.#reset(id);
    if (kind === 10) return frame(0x20 + this.#prng.below(200), 0, id, u32(1));
    return this.#update(0);
  }

  #newStream(): Buffer {
    const id = this.#nextId;
    this.#nextId += 2;
    const block = this.client.block(requestFields(this.#prng.pick(PATHS)));
    this.#open.push(id);
    this.#sendWindows.set(id, 65_535);
    this.#recvWindows.set(id, this.#initial);
    this.#unsent.set(id, message(Buffer.alloc(this.#prng.below(this.#prng.pick([10, 90_000])))));
    if (this.#prng.chance(80)) return frame(HEADERS, END_HEADERS, id, block);
    const cut = this.#prng.below(block.length);
    return Buffer.concat([
      frame(HEADERS, 0, id, block.subarray(0, cut)),
      frame(CONTINUATION, END_HEADERS, id, block.subarray(cut)),
    ]);
  }

  #data(id: number): Buffer {
    const rest = this.#unsent.get(id) ?? NONE;
    const window = this.#sendWindows.get(id) ?? 0;
    const size = Math.min(rest.length, window, 1 + this.#prng.below(16_384));
    this.#unsent.set(id, rest.subarray(size));
    this.#sendWindows.set(id, window - size);
    const ends = size === rest.length;
    if (ends) this.#forget(id);
    return frame(DATA, ends ? END_STREAM : 0, id, rest.subarray(0, size));
  }

  #update(id: number): Buffer {
    const increment = 1 + this.#prng.below(50_000);
    if (id === 0) this.#connectionRecv += increment;
    else this.#recvWindows.set(id, (this.#recvWindows.get(id) ?? 0) + increment);
    return frame(WINDOW_UPDATE, 0, id, u32(increment));
  }

  #settings(): Buffer {
    const initial = this.#prng.below(100_000);
    for (const [id, window] of this.#recvWindows) {
      this.#recvWindows.set(id, window + initial - this.#initial);
    }
    this.#initial = initial;
    return settings([4, initial]);
  }

  #reset(id: number): Buffer {
    this.#forget(id);
    return frame(RST_STREAM, 0, id, u32(8));
  }

  #forget(id: number): void {
    const at = this.#open.indexOf(id);
    if (at >= 0) this.#open.splice(at, 1);
  }

  /** Handlers that waited answer, in any order. */
  #serve(): void {
    while (this.#late.length > 0 && this.#prng.chance(80)) {
      const at = this.#prng.below(this.#late.length);
      const [call] = this.#late.splice(at, 1);
      if (call?.path !== "/test.Service/Late") continue;
      const answer = Buffer.alloc(this.#prng.below(40_000));
      if (this.#prng.chance(80)) call.reply(answer, 0, answer.length);
      else call.fail(9, "no");
    }
  }

  #account(one: Frame): void {
    if (one.type === WINDOW_UPDATE && one.id !== 0) {
      const window = this.#sendWindows.get(one.id) ?? 0;
      this.#sendWindows.set(one.id, window + one.payload.readUInt32BE(0));
    }
    if (one.type === RST_STREAM) this.#forget(one.id);
    if (one.type !== DATA) return;
    this.#connectionRecv -= one.payload.length;
    const left = (this.#recvWindows.get(one.id) ?? 0) - one.payload.length;
    this.#recvWindows.set(one.id, left);
    expect(one.payload.length).toBeLessThanOrEqual(16_384);
    expect(this.#connectionRecv).toBeGreaterThanOrEqual(0);
    if (one.payload.length > 0) expect(left).toBeGreaterThanOrEqual(0);
  }
}

describe("random frames", () => {
  test("a lawful client is served without error", () => {
    for (let seed = 1; seed <= 30; seed++) {
      const walker = new Walker(seed);
      for (let step = 0; step < 150; step++) {
        walker.step();
        expect(`${seed}: ${walker.client.server.reason}`).toBe(`${seed}: `);
      }
    }
  });

  test("anything else ends in GOAWAY or goes on, within bounds", () => {
    for (let seed = 1; seed <= 300; seed++) {
      const prng = new Prng(seed);
      const client = RawClient.open({ limits: LIMITS });
      for (let step = 0; step < 60 && !client.server.closing; step++) {
        const size = prng.pick([0, 1, 4, 5, 8, 9, prng.below(300)]);
        const payload = Buffer.from(Array.from({ length: size }, () => prng.below(256)));
        const id = prng.pick([0, 1, 1, 3, 5, 2, 1 + prng.below(50)]);
        const lawful = prng.chance(40) ? client.request(client.nowMs * 2 + 1) : NONE;
        client.nowMs++;
        client.send(lawful, frame(prng.below(11), prng.pick([0, 1, 4, 5, 8, 0xff]), id, payload));
        for (const call of client.seen.calls.splice(0)) call.fail(13, "no");
      }
      client.server.closed(client.nowMs);
      expect(client.server.openCalls).toBe(0);
    }
  });

  test("pings are answered in order whatever lies between", () => {
    const client = RawClient.open();
    const prng = new Prng(7);
    for (let round = 0; round < 50; round++) {
      client.send(client.request(round * 2 + 1), frame(PING, 0, 0, u32(round, prng.below(9))));
    }
    const pings = client.frames.filter((f) => f.type === PING);
    expect(pings.map((f) => f.payload.readUInt32BE(0))).toEqual(pings.map((_, index) => index));
    expect(pings).toHaveLength(50);
  });
});
