/**
 * A client that watches: at one member at a time, from a drawn revision on; when its connection
 * ends it goes on at another member behind the last revision it was told of. It reads slowly now
 * and then, so that its stream is full. What it was told is written down for the checkers.
 */
import type { Prng } from "../../src/base/prng.ts";
import type { WatchResponse } from "../../src/watch/ports.ts";
import type { WatchStream } from "../../src/watch/stream.ts";
import {
  type History,
  Recorder,
  type SeenEvent,
  type WatchRecorder,
  type WatchRequest,
} from "../check/history.ts";
import { decodeEvent } from "../watch/messages.ts";
import type { SimNode } from "./node.ts";
import type { SimProcess } from "./process.ts";
import { between, exponential, randomOf } from "./streams.ts";
import type { World } from "./world.ts";

export interface WatcherParts {
  readonly world: World;
  readonly number: number;
  readonly addresses: () => readonly SimNode[];
  /** The newest revision that anyone has. */
  readonly revision: () => number;
}

/** A connection, and what is on its way to the client over it. */
interface Session {
  readonly process: SimProcess;
  stream: WatchStream | undefined;
  outstanding: number;
  lastArrivalMs: number;
  over: boolean;
}

/** Responses under way beyond which the stream takes no events. */
const WINDOW = 4;

export class Watcher {
  readonly #parts: WatcherParts;
  readonly #random: Prng;
  readonly #recorder: Recorder;
  readonly #readMs: number;
  #request: WatchRequest;
  #watch: WatchRecorder | undefined;
  #session: Session | undefined;
  /** The first revision that was not told whole. */
  #next: number;
  #inFragment = false;

  constructor(parts: WatcherParts) {
    const { world, number } = parts;
    this.#parts = parts;
    this.#random = randomOf(world.seed, `watcher ${number}`);
    this.#recorder = new Recorder(`w${number}`, () => world.schedule.nowMs);
    this.#readMs = this.#random.pick([0.5, 1, 1, 2]) * world.settings.tickMs;
    this.#request = this.#drawRequest();
    this.#next = this.#request.startRevision;
  }

  get history(): History {
    return this.#recorder.history();
  }

  /** Every revision below was told; 0 if it has no connection. */
  get next(): number {
    return this.#session === undefined ? 0 : this.#next;
  }

  start(): void {
    this.#connectSoon();
  }

  /** Asks whether everything was told: the answer says up to which revision. */
  askProgress(): void {
    const session = this.#session;
    session?.process.enter("progress", () => session.stream?.requestProgress());
  }

  #drawRequest(): WatchRequest {
    const random = this.#random;
    const near = between(random, this.#parts.revision() - 20, this.#parts.revision() + 10);
    const startRevision = random.pick([0, 1, Math.max(1, near)]);
    const range = random.pick([{ key: "k", end: "l" }, { key: "k0" }, { key: "k1", end: "\0" }]);
    const without = random.chance(80) ? [] : ([random.pick(["put", "delete"] as const)] as const);
    return { ...range, startRevision, prevKv: random.chance(70), without };
  }

  #connectSoon(): void {
    const { world } = this.#parts;
    const { tickMs, electionTicks } = world.settings;
    const delayMs = exponential(this.#random, tickMs * electionTicks * 0.5);
    world.schedule.after(delayMs, () => this.#connect());
  }

  #connect(): void {
    const known = this.#parts.addresses();
    const process = known.length === 0 ? undefined : this.#random.pick(known).process;
    if (process === undefined) {
      this.#connectSoon();
      return;
    }
    const session: Session = {
      ...{ process, stream: undefined, outstanding: 0, over: false },
      lastArrivalMs: 0,
    };
    this.#session = session;
    this.#inFragment = false;
    if (this.#random.chance(30)) this.#beginAnew();
    const request = { ...this.#request, startRevision: this.#next };
    const before = this.#next === 0 ? undefined : this.#watch; // it was not told where it is
    this.#watch = this.#recorder.watch(request, before);
    this.#parts.world.trace.note("watch", process.node.number, this.#next, this.#parts.number);
    process.onEnd(() => this.#disconnected(session));
    process.enter("watch", () => this.#create(session, request));
    if (this.#random.chance(30)) this.#leaveLater(session);
  }

  /** Forgets what it watched, and begins another watch. */
  #beginAnew(): void {
    this.#request = this.#drawRequest();
    this.#next = this.#request.startRevision;
    this.#watch = undefined;
  }

  #create(session: Session, request: WatchRequest): void {
    const { group } = session.process;
    const stream = group.hub.openStream({
      get writable() {
        return session.outstanding < WINDOW;
      },
      send: (response) => this.#sent(session, response),
    });
    session.stream = stream;
    stream.create({
      key: request.key,
      rangeEnd: request.end ?? "",
      startRevision: request.startRevision,
      progressNotify: true,
      noPut: request.without.includes("put"),
      noDelete: request.without.includes("delete"),
      prevKv: request.prevKv,
      watchId: 0,
      fragment: true,
    });
    if (group.hub.hasWork) group.wakeHub();
  }

  /** Now and then a client goes elsewhere without a reason. */
  #leaveLater(session: Session): void {
    const { lengthMs } = this.#parts.world.settings;
    this.#parts.world.schedule.after(exponential(this.#random, lengthMs / 10), () => {
      if (session.over) return;
      session.process.enter("watch ends", () => session.stream?.close());
      this.#disconnected(session);
    });
  }

  #disconnected(session: Session): void {
    if (session.over) return;
    session.over = true;
    if (this.#session === session) this.#session = undefined;
    this.#connectSoon();
  }

  /** The member hands over a response: it arrives later, in order. */
  #sent(session: Session, response: WatchResponse): void {
    const { schedule } = this.#parts.world;
    session.outstanding++;
    const arrivalMs = Math.max(
      session.lastArrivalMs,
      schedule.nowMs + exponential(this.#random, this.#readMs),
    );
    session.lastArrivalMs = arrivalMs;
    schedule.at(arrivalMs, () => this.#arrived(session, response));
  }

  #arrived(session: Session, response: WatchResponse): void {
    session.outstanding--;
    if (session.over) return;
    this.#read(session, response);
    if (session.outstanding !== WINDOW - 1 || session.over) return;
    session.process.enter("drained", () => {
      session.stream?.onWritable();
      const { group } = session.process;
      if (group.hub.hasWork) group.wakeHub();
    });
  }

  #read(session: Session, response: WatchResponse): void {
    const watch = this.#watch as WatchRecorder;
    this.#parts.world.trace.note(
      "watched",
      session.process.node.number,
      response.revision,
      0,
      () => `w${this.#parts.number} ${response.kind} at ${response.revision}`,
    );
    switch (response.kind) {
      case "created":
        watch.created(response.revision);
        if (this.#next === 0) this.#next = response.revision + 1;
        break;
      case "events": {
        const events = response.batch.events.map(seenEvent);
        watch.events(response.revision, events, response.fragment);
        this.#inFragment = response.fragment;
        const last = events.at(-1)?.kv.modRevision ?? 0;
        this.#next = response.fragment ? last : last + 1;
        break;
      }
      case "progress":
        watch.progress(response.revision);
        if (!this.#inFragment) this.#next = Math.max(this.#next, response.revision + 1);
        break;
      case "canceled":
        watch.canceled(response.compactRevision);
        this.#next = Math.max(this.#next, response.compactRevision);
        session.process.enter("watch ends", () => session.stream?.close());
        this.#watch = undefined; // what it missed is gone, and it was told so
        this.#disconnected(session);
    }
  }
}

function seenEvent(bytes: Uint8Array): SeenEvent {
  const { isDelete, kv, prevKv } = decodeEvent(bytes);
  return { type: isDelete ? "delete" : "put", kv, prevKv: prevKv ?? null };
}
