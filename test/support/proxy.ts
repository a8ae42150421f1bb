/**
 * A bad network between TCP peers: a proxy whose two directions can be delayed, narrowed, cut,
 * stalled, broken off or made to lie, all while connections are open.
 *
 *   maker ──▶ [accepted socket] ──there──▶ [dialed socket] ──▶ target
 *         ◀──                  ◀──back───                  ◀──
 *
 * A Direction outlives connections: two proxies may share it, so that "from member 1 to member 2"
 * is one thing whoever made the connection. Bytes that meet a cut are not lost but late, as TCP
 * sends them again when the way is free; so is the news that a side hung up, hence a cut leaves
 * connections half open. Unlike on a real cut, the kernels on both ends still acknowledge.
 */
import type { Socket, TCPSocketListener } from "bun";
import type { Random } from "../../src/base/ports.ts";
import { Prng } from "../../src/base/prng.ts";

/** What a direction holds for one connection before it stops reading: about what kernels hold. */
const HELD_BYTES_MAX = 1024 * 1024;

export interface Conditions {
  /** Each byte arrives this much later, and up to `jitterMs` more; never out of order. */
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly bytesPerSecond: number;
  /** Nothing arrives, and no connection can be made, until this is over. */
  readonly cut: boolean;
  /** Nothing is read from the sender, whose buffers fill up. */
  readonly stalled: boolean;
}

const GOOD: Conditions = {
  delayMs: 0,
  jitterMs: 0,
  bytesPerSecond: Number.POSITIVE_INFINITY,
  cut: false,
  stalled: false,
};

/** One way between two parties, over all connections between them. */
export class Direction {
  readonly #random: Random;
  readonly #pipes = new Set<Pipe>();
  #conditions = GOOD;
  /** When the bytes that were sent before have passed the narrow place. */
  #freeAtMs = 0;
  #flips = 0;
  /** Bytes that arrived. */
  bytes = 0;
  /** Hears what is sent, as it was sent. */
  onSent: ((bytes: Uint8Array) => void) | undefined;

  constructor(random: Random = new Prng(1)) {
    this.#random = random;
  }

  get conditions(): Conditions {
    return this.#conditions;
  }

  /** Changes what is named; from now on, for what is under way too where that makes sense. */
  set(conditions: Partial<Conditions>): void {
    this.#conditions = { ...this.#conditions, ...conditions };
    for (const pipe of this.#pipes) pipe.onConditions();
  }

  heal(): void {
    this.#flips = 0;
    this.set(GOOD);
  }

  /** One bit of the next bytes that are sent is turned over. */
  flipBit(): void {
    this.#flips++;
  }

  /** When bytes that are sent now arrive. */
  arrivalMs(nowMs: number, byteCount: number): number {
    const { delayMs, jitterMs, bytesPerSecond } = this.#conditions;
    const passing = (byteCount / bytesPerSecond) * 1000;
    this.#freeAtMs = Math.max(nowMs, this.#freeAtMs) + passing;
    const jitter = jitterMs > 0 ? this.#random.below(Math.ceil(jitterMs) + 1) : 0;
    return this.#freeAtMs + delayMs + jitter;
  }

  /** Bun's buffers are not ours to write to: a copy, if there is something to turn over. */
  maybeFlipped(bytes: Uint8Array): Uint8Array {
    this.onSent?.(bytes);
    if (this.#flips === 0 || bytes.length === 0) return bytes;
    this.#flips--;
    const copy = bytes.slice();
    const at = this.#random.below(copy.length);
    copy[at] = (copy[at] ?? 0) ^ (1 << this.#random.below(8));
    return copy;
  }

  join(pipe: Pipe): void {
    this.#pipes.add(pipe);
  }

  leave(pipe: Pipe): void {
    this.#pipes.delete(pipe);
  }
}

/** What a side does: sends, hangs up, breaks off. */
type Sent = Uint8Array | "end" | "reset";

interface Held {
  readonly what: Sent;
  readonly dueMs: number;
}

/** What a pipe needs of its connection. */
interface PipeEnds {
  source(): Socket | undefined;
  /** undefined while it is not there yet. */
  target(): Socket | undefined;
  onConditions(): void;
  reset(): void;
}

/** One direction of one connection. */
class Pipe {
  readonly direction: Direction;
  readonly #ends: PipeEnds;
  #held: Held[] = [];
  #heldBytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #paused = false;

  constructor(direction: Direction, ends: PipeEnds) {
    this.direction = direction;
    this.#ends = ends;
    direction.join(this);
  }

  onConditions(): void {
    this.#ends.onConditions();
    this.pump();
  }

  take(sent: Sent): void {
    const count = typeof sent === "string" ? 0 : sent.length;
    const dueMs = this.direction.arrivalMs(performance.now(), count);
    const what = typeof sent === "string" ? sent : this.direction.maybeFlipped(sent);
    this.#held.push({ what, dueMs });
    this.#heldBytes += count;
    this.pump();
  }

  /** Delivers what is due, and reads on or stops reading. */
  pump(): void {
    clearTimeout(this.#timer);
    const target = this.#ends.target();
    const { cut, stalled } = this.direction.conditions;
    if (target !== undefined && !cut) this.#deliver(target);
    const pause = stalled || this.#heldBytes > HELD_BYTES_MAX;
    if (pause === this.#paused) return;
    this.#paused = pause;
    if (pause) this.#ends.source()?.pause();
    else this.#ends.source()?.resume();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.direction.leave(this);
    this.#held = [];
  }

  #deliver(target: Socket): void {
    for (let first = this.#held[0]; first !== undefined; first = this.#held[0]) {
      const waitMs = first.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pump(), Math.ceil(waitMs));
        return;
      }
      const { what, dueMs } = first;
      this.#held.shift();
      if (what === "end") target.shutdown();
      else if (what === "reset") this.#ends.reset();
      else {
        const taken = Math.max(0, target.write(what));
        this.direction.bytes += taken;
        this.#heldBytes -= taken;
        if (taken === what.length) continue;
        this.#held.unshift({ what: what.subarray(taken), dueMs });
        return; // until the target drains
      }
    }
  }
}

/** The two directions of a connection, seen from who made it. */
export interface Route {
  readonly there: Direction;
  readonly back: Direction;
}

export interface Address {
  readonly hostname: string;
  readonly port: number;
}

export interface ProxyOptions {
  /** Where connections go. */
  readonly target: Address;
  /** By the port of the connecting side; undefined: the connection is refused. */
  readonly route: (remotePort: number) => Route | undefined;
}

/** Listens on a free loopback port until it is disposed of. */
export class TcpProxy implements Disposable {
  readonly #options: ProxyOptions;
  readonly #listener: TCPSocketListener<Connection | undefined>;
  readonly #connections = new Set<Connection>();

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#listener = Bun.listen<Connection | undefined>({
      hostname: "127.0.0.1",
      port: 0,
      allowHalfOpen: true,
      socket: {
        open: (socket) => this.#open(socket),
        data: (socket, bytes) => socket.data?.there.take(bytes),
        drain: (socket) => socket.data?.back.pump(),
        end: (socket) => socket.data?.onMakerEnd(),
        close: (socket, error) => socket.data?.onMakerClosed(error),
        error: () => {}, // close follows
      },
    });
  }

  get port(): number {
    return this.#listener.port;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Breaks connections off with RST on both sides: all, or those over a direction. */
  reset(over?: Direction): void {
    for (const connection of this.#connections) {
      if (over === undefined || connection.isOver(over)) connection.reset();
    }
  }

  [Symbol.dispose](): void {
    this.#listener.stop();
    this.reset();
  }

  #open(socket: Socket<Connection | undefined>): void {
    const route = this.#options.route(socket.remotePort);
    if (route === undefined) {
      socket.terminate();
      return;
    }
    const gone = (connection: Connection): void => {
      this.#connections.delete(connection);
    };
    const connection = new Connection(socket as Socket, route, this.#options.target, gone);
    socket.data = connection;
    this.#connections.add(connection);
    connection.maybeDial();
  }
}

class Connection {
  readonly there: Pipe;
  readonly back: Pipe;
  readonly #maker: Socket;
  readonly #to: Address;
  readonly #onGone: (connection: Connection) => void;
  #target: Socket | undefined;
  #state: "waiting" | "dialing" | "open" | "closed" = "waiting";
  /** How many of the two sockets have ended for good. */
  #closedCount = 0;

  constructor(maker: Socket, route: Route, to: Address, onGone: (gone: Connection) => void) {
    this.#maker = maker;
    this.#to = to;
    this.#onGone = onGone;
    const self = (): Socket => maker;
    const other = (): Socket | undefined => this.#target;
    const both = { onConditions: () => this.maybeDial(), reset: () => this.reset() };
    this.there = new Pipe(route.there, { ...both, source: self, target: other });
    this.back = new Pipe(route.back, { ...both, source: other, target: self });
  }

  isOver(direction: Direction): boolean {
    return this.there.direction === direction || this.back.direction === direction;
  }

  /** Making a connection needs both ways. */
  maybeDial(): void {
    const isCut = this.there.direction.conditions.cut || this.back.direction.conditions.cut;
    if (this.#state !== "waiting" || isCut) return;
    this.#state = "dialing";
    Bun.connect({
      ...this.#to,
      allowHalfOpen: true,
      socket: {
        open: (socket) => this.#onDialed(socket),
        data: (_, bytes) => this.back.take(bytes),
        drain: () => this.there.pump(),
        end: () => this.back.take("end"),
        close: (_, error) => this.#onClosed(this.back, error),
        error: () => {}, // close follows
      },
    }).catch(() => this.reset());
  }

  onMakerEnd(): void {
    if (this.#state === "waiting") this.reset();
    else this.there.take("end");
  }

  onMakerClosed(error: Error | undefined): void {
    if (this.#state === "waiting") this.reset();
    else this.#onClosed(this.there, error);
  }

  reset(): void {
    if (this.#state === "closed") return;
    this.#close();
    this.#maker.terminate();
    this.#target?.terminate();
  }

  #onDialed(socket: Socket): void {
    this.#target = socket;
    if (this.#state === "closed") {
      socket.terminate();
      return;
    }
    this.#state = "open";
    this.there.pump();
    this.back.pump();
  }

  /** One side is gone. The other learns of it when, and if, the news gets through. */
  #onClosed(from: Pipe, error: Error | undefined): void {
    if (this.#state === "closed") return;
    this.#closedCount++;
    // Bun does not always say "end" when it closes a socket that was shut down before.
    from.take(error === undefined ? "end" : "reset");
    if (this.#closedCount === 2) this.#close();
  }

  #close(): void {
    this.#state = "closed";
    this.there.close();
    this.back.close();
    this.#onGone(this);
  }
}
