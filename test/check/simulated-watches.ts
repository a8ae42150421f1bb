/**
 * Watchers of a right server on the simulation's clock: they begin in the past, now and in the
 * future, with and without filters and predecessors, get one or several revisions a response, ask
 * for progress, lose their connection and go on, and are canceled by compactions.
 */
import type { Prng } from "../../src/base/prng.ts";
import {
  type History,
  Recorder,
  type SeenEvent,
  type WatchRecorder,
  type WatchRequest,
} from "./history.ts";
import type { NaiveServer } from "./naive-server.ts";
import { isInRange } from "./requests.ts";

export interface WatchWorld {
  readonly count: number;
  readonly prng: Prng;
  readonly server: NaiveServer;
  readonly keys: readonly string[];
  readonly after: (ms: number, run: () => void) => void;
  readonly now: () => number;
}

const PAUSE_MS_MAX = 15;
const HOP_MS_MAX = 3;
const REVISIONS_MAX = 4;

/** The first watcher: from the beginning, whatever happens. */
const EVERYTHING: WatchRequest = {
  key: "\0",
  end: "\0",
  startRevision: 1,
  prevKv: true,
  without: [],
};

interface Watcher {
  readonly request: WatchRequest;
  readonly recorder: WatchRecorder;
  /** The first revision that it was not told of. */
  next: number;
  /** What it was told last; it goes on behind it. */
  told: number;
  isCanceled: boolean;
}

export class SimulatedWatches {
  readonly #world: WatchWorld;
  readonly #recorder: Recorder;
  #isFinished = false;

  constructor(world: WatchWorld) {
    this.#world = world;
    this.#recorder = new Recorder("watcher", world.now);
  }

  start(): void {
    const { count, prng, after } = this.#world;
    if (count > 0) after(0, () => this.#open(EVERYTHING, undefined));
    for (let i = 1; i < count; i++) after(prng.unit() * 100, () => this.#create());
  }

  /** No more requests will come: the watchers are told the rest, and that it is all. */
  finish(): void {
    this.#isFinished = true;
  }

  history(): History {
    return this.#recorder.history();
  }

  #request(startRevision: number): WatchRequest {
    const { prng, keys } = this.#world;
    const key = prng.pick(keys);
    const prevKv = prng.chance(60);
    const without = prng.pick([[], [], [], ["put"], ["delete"]] as const);
    if (prng.chance(30)) return { key, startRevision, prevKv, without };
    if (prng.chance(30)) return { key, end: "l", startRevision, prevKv, without };
    return { key: "\0", end: "\0", startRevision, prevKv, without };
  }

  #create(): void {
    const { prng, server } = this.#world;
    const start = prng.chance(40) ? 0 : Math.max(server.revision + 5 - prng.below(30), 1);
    this.#open(this.#request(start), undefined);
  }

  #open(request: WatchRequest, before: WatchRecorder | undefined): void {
    const { server } = this.#world;
    const recorder = this.#recorder.watch(request, before);
    const { startRevision } = request;
    const next = startRevision === 0 ? server.revision + 1 : startRevision;
    recorder.created(server.revision);
    const told = next - 1;
    this.#wait({ request, recorder, next, told, isCanceled: false });
  }

  #wait(watcher: Watcher): void {
    const { after, prng } = this.#world;
    after(prng.unit() * PAUSE_MS_MAX, () => this.#tell(watcher));
  }

  #tell(watcher: Watcher): void {
    const { prng, server } = this.#world;
    if (watcher.next < server.compactRevision) {
      watcher.recorder.canceled(server.compactRevision);
      return;
    }
    if (!this.#isFinished && prng.chance(4)) {
      this.#reconnect(watcher);
      return;
    }
    const upTo = Math.min(server.revision, watcher.next + prng.below(REVISIONS_MAX));
    const events: SeenEvent[] = [];
    for (; watcher.next <= upTo; watcher.next++) events.push(...this.#eventsOf(watcher));
    if (events.length > 0) this.#deliver(watcher, events);
    const isSynced = watcher.next === server.revision + 1;
    if (isSynced && (this.#isFinished || prng.chance(20))) {
      watcher.recorder.progress(server.revision);
      watcher.told = server.revision;
    }
    if (!this.#isFinished || watcher.next <= server.revision) this.#wait(watcher);
  }

  /** Large responses come in fragments now and then. */
  #deliver(watcher: Watcher, events: readonly SeenEvent[]): void {
    const { prng, server } = this.#world;
    const { recorder } = watcher;
    const cut = events.length > 2 && prng.chance(20) ? 1 + prng.below(events.length - 1) : 0;
    if (cut > 0) recorder.events(server.revision, events.slice(0, cut), true);
    recorder.events(server.revision, events.slice(cut), false);
    watcher.told = events.at(-1)?.kv.modRevision ?? watcher.told;
  }

  #reconnect({ request, recorder, told }: Watcher): void {
    const { after, prng } = this.#world;
    after(prng.unit() * HOP_MS_MAX, () => {
      this.#open({ ...request, startRevision: told + 1 }, recorder);
    });
  }

  #eventsOf({ request, next }: Watcher): SeenEvent[] {
    const { key, end, prevKv, without } = request;
    const { server } = this.#world;
    return server.eventsAt(next).flatMap((event) => {
      if (!isInRange(event.kv.key, key, end) || without.includes(event.type)) return [];
      return [prevKv ? event : { ...event, prevKv: null }];
    });
  }
}
