/**
 * The watch hub of one group: gives every applied change to those who watch its key. It is not
 * replicated: each member serves its own clients from its own history.
 *
 *   publish   what was just applied goes to the synced watchers
 *   step      those who are behind are brought forward from the history, a slice at a time
 *   tick      periodic progress marks
 *
 * What each watcher is promised (etcd's API guarantees): its events come in order, none twice,
 * none left out, all of one revision in one response (or in fragments it asked for), and a
 * progress mark at R comes after every event up to R. A watcher that cannot keep up costs no
 * memory but a place in a set: the history is its queue. See DESIGN.md.
 */
import { assert } from "../base/assert.ts";
import type { Random } from "../base/ports.ts";
import { MIB } from "../base/units.ts";
import { Fanout, type FanoutLimits, LIVE } from "./fanout.ts";
import { windowEnd } from "./lagging.ts";
import type { WatchRow, WatchSink, WatchSource } from "./ports.ts";
import { PROGRESS_INTERVAL_MS, ProgressTicker } from "./progress.ts";
import { WatchRegister } from "./register.ts";
import { WatchStream } from "./stream.ts";
import { WatchedRanges } from "./watched-ranges.ts";
import type { Watcher } from "./watcher.ts";

/**
 * A response is cut between revisions above this. Clients refuse messages above 4 MiB unless told
 * otherwise (gRPC's default); a revision is at most a request, 1.5 MiB, in the usual setting.
 */
const RESPONSE_BYTES = MIB;

/** etcd's bound for fragments: its request limit and the slack it gives gRPC. */
const FRAGMENT_BYTES = 2 * MIB;

/**
 * One slice of catch-up: about a millisecond of work, so requests in between wait no longer.
 * The bytes bound what a slice holds in memory, up to the size of one revision more.
 */
export const STEP_BUDGET: StepBudget = { watchers: 512, rows: 1000, bytes: 4 * MIB };

/** Rows read at once: grows while rows are small, starts over when a page was heavy. */
const PAGE_ROWS_MIN = 16;
const PAGE_ROWS_MAX = 256;
const PAGE_BYTES_HEAVY = MIB / 2;

/** What one call of step() may do; a revision that was begun is always read to its end. */
export interface StepBudget {
  readonly watchers: number;
  readonly rows: number;
  readonly bytes: number;
}

export interface WatchHubOptions {
  readonly random: Random;
  /** 100 ms at least; 0, or left out: 10 minutes. */
  readonly progressIntervalMs?: number;
  /** Bytes of events after which a response is cut between revisions. */
  readonly responseBytes?: number;
  /** Bytes of a response from which it is cut into fragments, for watchers who allow it. */
  readonly fragmentBytes?: number;
}

export interface WatchCounters {
  readonly streams: number;
  readonly watchers: number;
  /** Watchers that are behind what is published. */
  readonly slowWatchers: number;
  /** Published revisions which slow watchers have not been taken through yet, summed. */
  readonly pendingRevisions: number;
  /** Events sent since the start, once per watcher. */
  readonly eventsSent: number;
}

export class WatchHub {
  readonly #register: WatchRegister;
  readonly #ticker: ProgressTicker;
  readonly #limits: FanoutLimits;
  readonly #live: Fanout;
  readonly #park: (watcher: Watcher, missed: number) => void;
  #caughtUpCount = 0;

  constructor(source: WatchSource, options: WatchHubOptions) {
    const register = new WatchRegister(source);
    this.#register = register;
    this.#ticker = new ProgressTicker(
      options.random,
      options.progressIntervalMs ?? PROGRESS_INTERVAL_MS,
    );
    this.#limits = {
      responseBytes: options.responseBytes ?? RESPONSE_BYTES,
      fragmentBytes: options.fragmentBytes ?? FRAGMENT_BYTES,
    };
    this.#park = (watcher, missed) => register.park(watcher, missed);
    this.#live = new Fanout(register.synced, register, this.#limits, LIVE, this.#park);
  }

  /** The revision up to which everything was published. */
  get revision(): number {
    return this.#register.published;
  }

  /** True while step() has something to do. */
  get hasWork(): boolean {
    return this.#register.lagging.size > 0;
  }

  openStream(sink: WatchSink): WatchStream {
    this.#register.assertQuiet();
    return new WatchStream(this.#register, this.#ticker, sink);
  }

  /**
   * Gives what was applied since the last call to the synced watchers: whole revisions, without
   * a gap, readable in the source. Call it in the same turn, before anything reads the result,
   * and before a compaction applied in that turn removes rows, so that predecessors can be shown.
   */
  publish(rows: readonly WatchRow[]): void {
    const last = rows.at(-1);
    if (last === undefined) return;
    const register = this.#register;
    assert(last.revision <= register.source.revision, "what is published was applied");
    register.sendingToMany(() => {
      const nobody = register.synced.size === 0 && register.future.nextStart > last.revision;
      if (!nobody) this.#publishRows(rows);
      register.published = last.revision;
    });
  }

  #publishRows(rows: readonly WatchRow[]): void {
    const register = this.#register;
    let revision = register.published;
    for (const row of rows) {
      if (row.revision !== revision) {
        assert(row.revision === revision + 1, "every revision is published, in order");
        revision = row.revision;
        if (revision === register.future.nextStart) {
          this.#live.flush(); // what came before is not for those who join now
          register.admitNext();
        }
      }
      this.#live.add(row);
    }
    this.#live.flush();
  }

  /**
   * Brings some of those who are behind forward by one slice of history, or cancels them if it
   * was compacted. Bounded by `budget`; call it again, soon but not at once, while hasWork.
   */
  step(budget: StepBudget = STEP_BUDGET): void {
    assert(budget.watchers > 0 && budget.rows > 0 && budget.bytes > 0, "a step may do something");
    const register = this.#register;
    register.sendingToMany(() => {
      const cohort = this.#takeCohort(budget.watchers);
      if (cohort.length === 0) return;
      const index = new WatchedRanges();
      let from = register.published;
      for (const watcher of cohort) {
        index.add(watcher, watcher.next);
        if (watcher.next < from) from = watcher.next;
      }
      const reached = this.#deliver(index, from, budget);
      for (const watcher of cohort) {
        if (watcher.state !== "lagging") continue; // parked on the way
        index.remove(watcher);
        register.place(watcher, Math.max(watcher.next, reached + 1));
      }
    });
  }

  /** Takes those whose turn it is, except who cannot go on: no room in the stream, compacted. */
  #takeCohort(limit: number): Watcher[] {
    const register = this.#register;
    const cohort: Watcher[] = [];
    const compactRevision = register.source.compactRevision;
    for (const watcher of register.lagging.take(limit)) {
      const { sink } = watcher.stream;
      if (!sink.writable) register.park(watcher, watcher.next);
      else if (watcher.next < compactRevision) {
        register.forgetCompacted(watcher);
        sink.send({ kind: "canceled", watchId: watcher.id, revision: 0, compactRevision });
      } else cohort.push(watcher);
    }
    return cohort;
  }

  /** Delivers history from `from` on; returns the last revision that was delivered whole. */
  #deliver(index: WatchedRanges, from: number, budget: StepBudget): number {
    const register = this.#register;
    const { source, published } = register;
    const mode = { header: published, prevKvFrom: source.compactRevision };
    const fanout = new Fanout(index, register, this.#limits, mode, this.#park);
    const to = Math.min(published, windowEnd(from));
    const reached = readSlice(source, from, to, budget, fanout);
    fanout.flush();
    this.#caughtUpCount += fanout.sentCount;
    return reached;
  }

  /** Sends the periodic progress marks that are due; call it about every 100 ms. */
  tick(nowMs: number): void {
    const { published } = this.#register;
    this.#register.sendingToMany(() => this.#ticker.tick(nowMs, published));
  }

  /**
   * The history was replaced by a snapshot's, whose revision may lie ahead: `source` is it now.
   * Watchers go on from their own next revision, those of the future stay muted until their start.
   */
  restored(source: WatchSource): void {
    const register = this.#register;
    register.assertQuiet();
    register.source = source;
    const { revision } = source;
    const before = register.published;
    assert(revision >= before, "a snapshot never takes back what was published");
    register.published = revision;
    for (const stream of register.streams) {
      for (const watcher of stream.watchers.values()) {
        if (watcher.state === "synced") {
          register.withdraw(watcher);
          register.place(watcher, before + 1);
        } else if (watcher.state === "future") {
          register.withdraw(watcher);
          register.place(watcher, watcher.next);
        }
      }
    }
  }

  /** Figures for metrics; visits every slow watcher. */
  counters(): WatchCounters {
    const { streams, watcherCount, slowCount, published } = this.#register;
    let pendingRevisions = 0;
    for (const stream of streams) {
      if (stream.behindCount === 0) continue;
      for (const { state, next } of stream.watchers.values()) {
        if (state === "lagging" || state === "parked") pendingRevisions += published + 1 - next;
      }
    }
    return {
      streams: streams.size,
      watchers: watcherCount,
      slowWatchers: slowCount,
      pendingRevisions,
      eventsSent: this.#live.sentCount + this.#caughtUpCount,
    };
  }

  /** Asserts every invariant, at any cost. */
  verify(): void {
    this.#register.verify();
    this.#ticker.verify(this.#register.streams);
    assert(this.revision <= this.#register.source.revision, "nothing is published unapplied");
  }
}

/**
 * Hands rows of revisions [from, to] to `fanout` until the budget is used up; returns the last
 * revision of which every row was handed over.
 */
function readSlice(
  source: WatchSource,
  from: number,
  to: number,
  budget: StepBudget,
  fanout: Fanout,
): number {
  let seq = source.seek(from);
  let pageRows = PAGE_ROWS_MIN;
  let rows = 0;
  let bytes = 0;
  let revision = from - 1;
  for (;;) {
    const page = source.scan(seq, pageRows);
    const bytesBefore = bytes;
    for (const row of page) {
      if (row.revision > to) return to;
      if (row.revision !== revision) {
        assert(row.revision > revision, "history is in order of revision");
        if (rows >= budget.rows || bytes >= budget.bytes) return revision;
        revision = row.revision;
      }
      fanout.add(row);
      rows += 1;
      bytes += row.kv.length;
      seq = row.seq + 1;
    }
    if (page.length === 0) return to;
    const heavy = bytes - bytesBefore > PAGE_BYTES_HEAVY;
    pageRows = heavy ? PAGE_ROWS_MIN : Math.min(2 * pageRows, PAGE_ROWS_MAX);
  }
}
