/** Connections in memory, in pieces of chance size, that a test can stall, cut and spoil. */
import { AetherError } from "../../../src/base/errors.ts";
import { Prng } from "../../../src/base/prng.ts";
import type { PeerDialer, PeerSocket, PeerTimers } from "../../../src/net/peers/ports.ts";
import type { ProtocolConnection } from "../../../src/wire/connection.ts";
import type { GrpcServer } from "../../../src/wire/grpc/grpc-server.ts";
import { GrpcServerConnection } from "../../../src/wire/grpc/server-connection.ts";

/** Time that passes when a test says so. */
export class ToyTimers implements PeerTimers {
  #nowMs = 0;
  readonly #timers = new Set<{ atMs: number; run: () => void }>();
  readonly ticks: ((nowMs: number) => void)[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Lets `ms` pass in steps of at most 100, each followed by a turn of the loop. */
  async pass(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    do {
      this.#nowMs = Math.min(endMs, this.#nowMs + 100);
      for (const timer of [...this.#timers]) {
        if (timer.atMs > this.#nowMs || !this.#timers.delete(timer)) continue;
        timer.run();
      }
      for (const tick of this.ticks) tick(this.#nowMs);
      await turn();
    } while (this.#nowMs < endMs);
  }
}

/** Several turns: what was sent has arrived, and what that caused too. */
export async function turn(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** One connection. */
export class Pipe implements PeerSocket {
  /** Nothing moves, and nobody learns of it. */
  stalled = false;
  /** Changes what the server gets; for broken cables. */
  spoil: (bytes: Uint8Array) => void = () => undefined;
  closed = false;
  readonly url: string;
  readonly #client: ProtocolConnection;
  readonly #server: ProtocolConnection;
  readonly #nowMs: () => number;
  readonly #random: Prng;
  readonly #onClosed: () => void;
  #queued = false;

  constructor(
    url: string,
    ends: { client: ProtocolConnection; server: ProtocolConnection },
    nowMs: () => number,
    random: Prng,
    onClosed: () => void,
  ) {
    this.url = url;
    this.#client = ends.client;
    this.#server = ends.server;
    this.#nowMs = nowMs;
    this.#random = random;
    this.#onClosed = onClosed;
    this.#client.onOutput = () => this.#queue();
    this.#server.onOutput = () => this.#queue();
    this.#queue();
  }

  /** Both ends learn that the connection is gone; the server does not if nothing moves. */
  cut(): void {
    if (this.closed) return;
    this.closed = true;
    this.#client.closed(this.#nowMs());
    if (!this.stalled) this.#server.closed(this.#nowMs());
    this.#onClosed();
  }

  terminate(): void {
    this.cut();
  }

  end(): void {
    if (!this.stalled) this.#move(this.#client, this.#server, true);
    this.cut();
  }

  tick(nowMs: number): void {
    if (this.closed) return;
    this.#client.tick(nowMs);
    this.#server.tick(nowMs);
    this.#queue();
  }

  #queue(): void {
    if (this.#queued || this.closed) return;
    this.#queued = true;
    setImmediate(() => this.#run());
  }

  #run(): void {
    this.#queued = false;
    if (this.closed || this.stalled) {
      if (this.#client.closing) this.cut(); // it gave up by itself
      return;
    }
    this.#move(this.#client, this.#server, true);
    this.#move(this.#server, this.#client, false);
    if (this.#client.closing || this.#server.closing) this.cut();
    else if (this.#client.output.pending + this.#server.output.pending > 0) this.#queue();
  }

  #move(from: ProtocolConnection, to: ProtocolConnection, towardsServer: boolean): void {
    for (let pieces = 0; pieces < 8 && !this.closed && from.output.pending > 0; pieces++) {
      const { output } = from;
      const size = Math.min(output.pending, 1 + this.#random.below(40_000));
      const bytes = Buffer.from(output.bytes.subarray(output.start, output.start + size));
      output.advance(size);
      if (towardsServer) this.spoil(bytes);
      to.receive(bytes, this.#nowMs());
      from.onWritable(this.#nowMs());
    }
  }
}

/** Servers by URL, and every connection to them. */
export class PipeNet implements PeerDialer {
  readonly servers = new Map<string, GrpcServer>();
  readonly pipes: Pipe[] = [];
  readonly dialsMs: number[] = [];
  /** Dials that come while it is set never end. */
  blackHole = false;
  /** New connections begin with this. */
  onPipe: (pipe: Pipe) => void = () => undefined;
  readonly #timers: PeerTimers;
  readonly #random: Prng;

  constructor(timers: PeerTimers, seed: number) {
    this.#timers = timers;
    this.#random = new Prng(seed);
  }

  dial(
    url: string,
    _timeoutMs: number,
    connect: (nowMs: number) => ProtocolConnection,
    onClosed: () => void,
  ): Promise<PeerSocket> {
    const nowMs = this.#timers.nowMs();
    this.dialsMs.push(nowMs);
    if (this.blackHole) return new Promise(() => undefined);
    const server = this.servers.get(url);
    if (server === undefined) return Promise.reject(new AetherError("unhealthy", "refused"));
    const ends = {
      client: connect(nowMs),
      server: new GrpcServerConnection(server, { peer: "127.0.0.1:9", nowMs }),
    };
    const pipe = new Pipe(url, ends, () => this.#timers.nowMs(), this.#random, onClosed);
    this.pipes.push(pipe);
    this.onPipe(pipe);
    return Promise.resolve(pipe);
  }

  /** Connections that are open. */
  get open(): Pipe[] {
    return this.pipes.filter((pipe) => !pipe.closed);
  }

  tick(nowMs: number): void {
    for (const pipe of this.open) pipe.tick(nowMs);
  }
}
