/**
 * Random histories, watchers, full streams, compactions, snapshots and progress requests against
 * the replay. A failure names its seed; the run is the same on every machine.
 */
import { expect } from "bun:test";
import { Prng } from "../../src/base/prng.ts";
import { WatchHub } from "../../src/watch/hub.ts";
import type { WatchCreate, WatchRow, WatchSource } from "../../src/watch/ports.ts";
import type { WatchStream } from "../../src/watch/stream.ts";
import { type Change, MemorySource } from "./memory-source.ts";
import { CheckingSink, Replay } from "./replay.ts";

const KEYS = ["a", "b", "c", "ca", "d", "\0", "z\xff"];
const ENDS = ["", "", "\0", "b", "c", "d", "z"];
const STREAMS = 4;
const INTERVAL_MS = 1000;

interface Client {
  sink: CheckingSink;
  stream: WatchStream;
}

/** A history that can be written: that of the tests, or the machine itself. */
export interface ModelStore {
  readonly source: WatchSource;
  apply(changes: readonly Change[]): readonly WatchRow[];
  compact(revision: number): void;
}

class Run {
  readonly #prng: Prng;
  readonly #store: ModelStore;
  readonly #replay = new Replay();
  readonly #fragmentBytes: number;
  readonly hub: WatchHub;
  readonly clients: Client[] = [];
  /** Applied and not published yet. */
  #held: WatchRow[] = [];
  #nowMs = 0;
  #value = 0;
  readonly total = { events: 0, marks: 0, compacted: 0, fragments: 0 };

  constructor(seed: number, store: ModelStore) {
    this.#prng = new Prng(seed);
    this.#store = store;
    this.#fragmentBytes = this.#prng.pick([100, 150, 1 << 21]);
    this.hub = new WatchHub(store.source, {
      random: this.#prng,
      progressIntervalMs: INTERVAL_MS,
      responseBytes: this.#prng.pick([1, 60, 1 << 20]),
      fragmentBytes: this.#fragmentBytes,
    });
    for (let index = 0; index < STREAMS; index++) this.clients.push(this.#open());
  }

  act(): void {
    const roll = this.#prng.below(100);
    const client = this.#prng.pick(this.clients);
    if (roll < 40) this.#write();
    else if (roll < 55) this.#create(client);
    else if (roll < 60) this.#cancel(client);
    else if (roll < 67) this.#askProgress(client);
    else if (roll < 72) client.sink.room = this.#prng.below(4);
    else if (roll < 79) this.#drain(client);
    else if (roll < 89) this.#step();
    else if (roll < 93) this.#compact();
    else if (roll < 96) this.#tick();
    else if (roll < 97) this.#reopen();
    else if (roll < 99) this.#snapshot();
    else this.#burst();
    this.hub.verify();
  }

  /** Lets everything drain and demands that everything has arrived. */
  finish(): void {
    for (const { sink, stream } of this.clients) {
      sink.room = Number.POSITIVE_INFINITY;
      stream.onWritable();
    }
    while (this.hub.hasWork) this.#step();
    this.hub.verify();
    expect(this.hub.counters().slowWatchers).toBe(0);
    for (const { sink } of this.clients) {
      sink.assertComplete();
      this.#count(sink);
    }
  }

  #open(): Client {
    const sink = new CheckingSink(this.#replay, this.#fragmentBytes);
    return { sink, stream: this.hub.openStream(sink) };
  }

  #reopen(): void {
    const at = this.#prng.below(STREAMS);
    const { stream, sink } = this.clients[at] as Client;
    this.#count(sink);
    stream.close();
    this.clients[at] = this.#open();
  }

  #count(sink: CheckingSink): void {
    for (const key of ["events", "marks", "compacted", "fragments"] as const) {
      this.total[key] += sink.counts[key];
    }
  }

  #applyOne(): void {
    const count = this.#prng.chance(30) ? 1 + this.#prng.below(6) : 1;
    const keys = new Set<string>();
    while (keys.size < count) keys.add(this.#prng.pick(KEYS));
    const changes = [...keys].map((key): Change => {
      if (this.#prng.chance(30)) return { key };
      this.#value += 1;
      return { key, value: `v${this.#value}` };
    });
    this.#held.push(...this.#store.apply(changes));
    this.#replay.apply(changes);
  }

  #write(): void {
    const count = this.#prng.chance(25) ? 1 + this.#prng.below(5) : 1;
    for (let index = 0; index < count; index++) this.#applyOne();
    this.#publish();
  }

  #publish(): void {
    this.hub.publish(this.#held);
    this.#held = [];
  }

  /** Enough revisions to fill more than one window of catch-up. */
  #burst(): void {
    for (let index = 0; index < 700; index++) this.#applyOne();
    this.#publish();
  }

  #snapshot(): void {
    for (let index = this.#prng.below(4); index >= 0; index--) this.#applyOne();
    this.#held = [];
    if (this.#prng.chance(50)) this.#compact();
    this.hub.restored(this.#store.source);
  }

  #create(client: Client): void {
    const { revision } = this.#store.source;
    const start = this.#prng.chance(30) ? 0 : revision - 20 + this.#prng.below(30);
    const far = this.#prng.chance(10) ? 1 + this.#prng.below(revision) : start;
    const request: WatchCreate = {
      key: this.#prng.pick(["", ...KEYS]),
      rangeEnd: this.#prng.pick(ENDS),
      startRevision: far,
      progressNotify: this.#prng.chance(40),
      noPut: this.#prng.chance(15),
      noDelete: this.#prng.chance(15),
      prevKv: this.#prng.chance(50),
      watchId: this.#prng.chance(20) ? this.#prng.below(8) : 0,
      fragment: this.#prng.chance(40),
    };
    client.sink.asked = request;
    client.stream.create(request);
    client.sink.asked = undefined;
  }

  /** Cancels a watcher; half of the time a new one resumes where it stopped (Resumable). */
  #cancel(client: Client): void {
    const ids = [...client.sink.watchers.keys()];
    if (ids.length === 0) return;
    const id = this.#prng.pick(ids);
    const watcher = client.sink.watchers.get(id);
    client.stream.cancel(id);
    expect(client.sink.watchers.has(id)).toBe(false);
    if (watcher === undefined || watcher.lastRevision === 0 || this.#prng.chance(50)) return;
    const request = { ...watcher.request, watchId: 0, startRevision: watcher.lastRevision + 1 };
    client.sink.asked = request;
    client.stream.create(request);
    client.sink.asked = undefined;
  }

  #askProgress(client: Client): void {
    if (this.#prng.chance(50)) {
      client.sink.room = Number.POSITIVE_INFINITY;
      client.stream.onWritable();
      while (this.hub.hasWork) this.#step();
    }
    client.stream.requestProgress();
  }

  #drain(client: Client): void {
    client.sink.room = this.#prng.chance(30) ? 1 + this.#prng.below(3) : Number.POSITIVE_INFINITY;
    client.stream.onWritable();
  }

  #step(): void {
    const small = this.#prng.chance(70);
    this.hub.step({
      watchers: small ? 1 + this.#prng.below(4) : 512,
      rows: small ? 1 + this.#prng.below(5) : 1000,
      bytes: small ? 1 + this.#prng.below(200) : 1 << 20,
    });
  }

  #compact(): void {
    const { revision, compactRevision } = this.#store.source;
    const low = Math.max(compactRevision + 1, revision - 15, 2);
    if (low > revision) return;
    const at = low + this.#prng.below(revision - low + 1);
    this.#store.compact(at);
    this.#replay.compactRevision = at;
  }

  #tick(): void {
    this.#nowMs += this.#prng.below(INTERVAL_MS);
    this.hub.tick(this.#nowMs);
  }
}

export interface Total {
  events: number;
  marks: number;
  compacted: number;
  fragments: number;
}

const ACTIONS = 600;

/** One run over a new store; what it came to. Throws at the first promise that is not kept. */
export function runModel(seed: number, store: ModelStore): Total {
  const run = new Run(seed, store);
  for (let action = 0; action < ACTIONS; action++) run.act();
  run.finish();
  return run.total;
}

/** A history of the tests' own. */
export function memoryStore(): ModelStore {
  const source = new MemorySource();
  return {
    source,
    apply: (changes) => source.apply(changes),
    compact: (at) => source.compact(at),
  };
}
