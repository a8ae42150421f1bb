/**
 * A client: one operation at a time, at a member it has a connection to, with a timeout. What it
 * did and was told is written down for the checkers; it judges nothing itself.
 */
import type { Prng } from "../../src/base/prng.ts";
import { type CallRecorder, type History, Recorder } from "../check/history.ts";
import type { Request } from "../check/requests.ts";
import { perform, type Told } from "./calls.ts";
import type { LeaseBook } from "./leases.ts";
import type { SimNode } from "./node.ts";
import { RequestMaker } from "./request-maker.ts";
import type { OperationWeights } from "./settings.ts";
import { exponential, randomOf } from "./streams.ts";
import type { World } from "./world.ts";

export interface ClientParts {
  readonly world: World;
  readonly leases: LeaseBook;
  readonly number: number;
  /** What it does, and how often. */
  readonly weights: OperationWeights;
  /** From one operation to the next, on average. */
  readonly thinkMs: number;
  /** Members that a client may know of. */
  readonly addresses: () => readonly SimNode[];
  /** A number for each command, over all clients. */
  readonly nextTag: () => number;
  /** Whether the command with this number was ever applied. */
  readonly happened: (tag: number) => boolean;
}

/** One operation under way. */
interface Operation {
  readonly request: Request;
  readonly recorder: CallRecorder;
  readonly calledMs: number;
  over: boolean;
}

/** Clients are near: a fraction of the delay between members. */
const CLIENT_DELAY_MS = 0.5;

export class Client {
  readonly #parts: ClientParts;
  readonly #random: Prng;
  readonly #recorder: Recorder;
  readonly #maker: RequestMaker;
  /** The number of each call of the history. */
  readonly #tags: number[] = [];
  #node: SimNode | undefined;
  #stopped = false;
  /** Operations that got an answer. */
  answered = 0;

  constructor(parts: ClientParts) {
    const { world, number } = parts;
    this.#parts = parts;
    this.#random = randomOf(world.seed, `client ${number}`);
    this.#recorder = new Recorder(`c${number}`, () => world.schedule.nowMs);
    const { clients } = world.settings;
    this.#maker = new RequestMaker(this.#random, clients, parts.weights, parts.leases);
  }

  /**
   * What it did and saw. Commands of unknown outcome that are in nobody's log did not happen: to
   * know that saves the checkers a search.
   */
  get history(): History {
    const history = this.#recorder.history();
    const calls = history.calls.filter(({ outcome }, at) => {
      return outcome.kind !== "unknown" || this.#parts.happened(this.#tags[at] as number);
    });
    return { ...history, calls };
  }

  start(): void {
    this.#nextSoon();
  }

  /** Begins nothing more. */
  stop(): void {
    this.#stopped = true;
  }

  /** Asks a member for something, outside of the client's own course; `done` with what came. */
  ask(node: SimNode, request: Request, timeoutMs: number, done: (told: Told) => void): void {
    const { world, nextTag, leases } = this.#parts;
    const { schedule, trace } = world;
    const tag = nextTag();
    trace.note("call", node.number, tag, this.#parts.number, () => JSON.stringify(request));
    const recorder = this.#recorder.call(request);
    this.#tags.push(tag);
    const operation: Operation = { request, recorder, calledMs: schedule.nowMs, over: false };
    const end = (told: Told): void => {
      if (operation.over) return;
      operation.over = true;
      trace.note("told", node.number, tag, this.#parts.number, () => JSON.stringify(told));
      this.#note(operation, told);
      done(told);
    };
    leases.called(request);
    schedule.after(this.#delayMs(), () => {
      const target = node.process;
      if (target === undefined) {
        this.#later(() => end({ kind: "refused", code: "connection refused" }));
        return;
      }
      const back = (told: Told): void => this.#later(() => end(told));
      target.onEnd(() => back({ kind: "unknown" }));
      target.enter("request", () => perform(target.group, request, tag, back));
    });
    schedule.after(timeoutMs, () => end({ kind: "unknown" }));
  }

  #next(): void {
    if (this.#stopped) return;
    const { world } = this.#parts;
    const { settings } = world;
    const node = this.#pickNode();
    if (node === undefined) {
      this.#nextSoon();
      return;
    }
    const request = this.#maker.next();
    this.ask(node, request, settings.clients.timeoutMs, (told) => {
      if (told.kind !== "answered") this.#node = undefined;
      this.#nextSoon();
    });
  }

  #note({ request, recorder, calledMs }: Operation, told: Told): void {
    if (told.kind === "unknown") return;
    if (told.kind === "refused") {
      recorder.refused(told.code);
      return;
    }
    this.answered++;
    recorder.answered(told.answer);
    this.#maker.learn(told.answer);
    this.#parts.leases.answered(request, told.answer, calledMs);
  }

  #pickNode(): SimNode | undefined {
    const { world, addresses } = this.#parts;
    const roams = this.#random.chance(world.settings.clients.roamPercent);
    if (this.#node === undefined || roams) {
      const known = addresses();
      this.#node = known.length === 0 ? undefined : this.#random.pick(known);
    }
    return this.#node;
  }

  #nextSoon(): void {
    const { world } = this.#parts;
    const thinkMs = exponential(this.#random, this.#parts.thinkMs);
    world.schedule.after(thinkMs, () => this.#next());
  }

  #later(run: () => void): void {
    this.#parts.world.schedule.after(this.#delayMs(), run);
  }

  #delayMs(): number {
    return exponential(this.#random, CLIENT_DELAY_MS);
  }
}
