/**
 * What etcd promises of watches, checked against the history that was committed:
 *
 *   Ordered       revisions never go back, events of one revision come in its order
 *   Unique        no event comes twice
 *   Atomic        a revision is never split over two responses, unless marked as fragments
 *   Reliable      between two events nothing is left out
 *   Resumable     the start revision is honoured; a watcher that goes on for another misses nothing
 *   Bookmarkable  progress at R: everything up to R has come, and only later events follow
 *   Filter        nothing comes that was not asked for
 *   PrevKV        the value before, if asked for; absent only for a new key or a compacted value
 *   Event         every field is right, create_revision and version (IsCreate) among them; nothing
 *                 comes that was never committed
 *   Compacted     a watcher is canceled by a compaction only if it missed something by it
 */
import { difference } from "./execute.ts";
import type { History, SeenEvent, Watch, WatchSeen } from "./history.ts";
import type { Committed } from "./linearizable.ts";
import { isInRange } from "./requests.ts";
import type { Change } from "./store.ts";

/** An event that is due: a change at its revision. */
interface Due {
  readonly revision: number;
  /** Whether it is known to have happened; if not, nothing is said of it being left out. */
  readonly isCertain: boolean;
  readonly change: Change;
}

interface Compaction {
  readonly revision: number;
  readonly called: number;
}

type Events = Extract<WatchSeen, { kind: "events" }>;

/** Complaints, each naming the watcher and the promise; none if all were kept. */
export function checkWatches(
  history: Pick<History, "calls" | "watches">,
  committed: readonly Committed[],
): string[] {
  const all = committed.flatMap(({ revision, isCertain, changes }) => {
    return changes.map((change): Due => ({ revision, isCertain, change }));
  });
  const compactions = compactionsOf(history);
  const followers = new Map(history.watches.map((watch) => [watch.id, watch]));
  return history.watches.flatMap((watch) => {
    const before = watch.resumes === undefined ? undefined : followers.get(watch.resumes);
    return new Follower(watch, all, compactions).check(before);
  });
}

/** The revision up to which a watcher is sure to have been told everything it asked for. */
export function deliveredThrough({ request, seen }: Watch): number {
  let through = request.startRevision - 1;
  for (const response of seen) {
    if (response.kind === "created" && request.startRevision === 0) through = response.revision;
    if (response.kind === "progress") through = Math.max(through, response.revision);
    if (response.kind !== "events") continue;
    const last = response.events.at(-1)?.kv.modRevision ?? 0;
    through = Math.max(through, response.fragment ? last - 1 : last);
  }
  return through;
}

function compactionsOf({ calls }: Pick<History, "calls">): Compaction[] {
  return calls.flatMap(({ request, call, outcome }) => {
    if (request.kind !== "compact" || outcome.kind === "refused") return [];
    return [{ revision: request.revision, called: call }];
  });
}

/** Goes through the responses of one watcher with the events that are due to it. */
class Follower {
  readonly #watch: Watch;
  readonly #all: readonly Due[];
  readonly #compactions: readonly Compaction[];
  readonly #complaints: string[] = [];
  #start = Number.POSITIVE_INFINITY;
  #due: Due[] = [];
  /** The place in #due of the next event. */
  #next = 0;
  readonly #skipped = new Set<Due>();
  #progress = 0;
  #isCreated = false;
  #isCanceled = false;

  constructor(watch: Watch, all: readonly Due[], compactions: readonly Compaction[]) {
    this.#watch = watch;
    this.#all = all;
    this.#compactions = compactions;
  }

  check(before: Watch | undefined): readonly string[] {
    if (before !== undefined) this.#checkResumed(before);
    for (const [index, response] of this.#watch.seen.entries()) {
      if (this.#isCanceled) this.#complain("Compacted", "told something after it was canceled");
      if (!this.#isCreated && response.kind !== "created") {
        this.#complain("Resumable", `${response.kind} before it was created`);
        break;
      }
      if (response.kind === "created") this.#create(response.revision);
      else if (response.kind === "events") this.#deliver(response);
      else if (response.kind === "progress") this.#bookmark(response.revision);
      else this.#cancel(response, index);
    }
    return this.#complaints;
  }

  /** Not the server's matter: a client that skips cannot show that nothing was lost. */
  #checkResumed(before: Watch): void {
    const through = deliveredThrough(before);
    const { startRevision } = this.#watch.request;
    if (startRevision > 0 && startRevision <= through + 1) return;
    this.#complain("Resumable", `goes on at ${startRevision}, ${before.id} was at ${through}`);
  }

  #create(revision: number): void {
    if (this.#isCreated) this.#complain("Unique", "created twice");
    this.#isCreated = true;
    const { startRevision } = this.#watch.request;
    this.#start = startRevision === 0 ? revision + 1 : startRevision;
    this.#due = this.#all.filter((due) => due.revision >= this.#start && this.#isAskedFor(due));
  }

  #isAskedFor({ change }: Due): boolean {
    const { key, end, without } = this.#watch.request;
    const type = change.kv.version === 0 ? "delete" : "put";
    return isInRange(change.kv.key, key, end) && !without.includes(type);
  }

  #deliver(response: Events): void {
    const last = response.events.at(-1)?.kv.modRevision ?? 0;
    if (last === 0) this.#complain("Bookmarkable", "a response without events that is no progress");
    if (response.revision < last) {
      this.#complain("Event", `the header says ${response.revision}, the last event ${last}`);
    }
    for (const event of response.events) this.#take(event, response.at);
    const next = this.#due[this.#next];
    if (next?.revision === last && next.isCertain && !response.fragment) {
      this.#complain("Atomic", `a response ends within revision ${last}, before ${nameOf(next)}`);
    }
  }

  #take(event: SeenEvent, at: number): void {
    const { modRevision, key } = event.kv;
    const name = `${event.type} ${key}@${modRevision}`;
    if (modRevision <= this.#progress) {
      this.#complain("Bookmarkable", `${name} after progress at ${this.#progress}`);
    }
    const isThis = (due: Due): boolean => {
      return due.revision === modRevision && due.change.kv.key === key;
    };
    const place = this.#place(isThis);
    const due = this.#due[place];
    if (due === undefined) {
      this.#complain(...this.#whyNotDue(name, modRevision, isThis));
      return;
    }
    if (place < this.#next) {
      const wasSkipped = this.#skipped.delete(due);
      this.#complain(wasSkipped ? "Ordered" : "Unique", `${name} ${wasSkipped ? "late" : "again"}`);
      return;
    }
    for (; this.#next < place; this.#next++) this.#skip(this.#due[this.#next] as Due, name);
    this.#next++;
    this.#compare(event, due, at, name);
  }

  #place(isThis: (due: Due) => boolean): number {
    const next = this.#due[this.#next];
    return next !== undefined && isThis(next) ? this.#next : this.#due.findIndex(isThis);
  }

  #skip(due: Due, name: string): void {
    this.#skipped.add(due);
    if (!due.isCertain) return;
    this.#complain("Reliable", `${nameOf(due)} did not come before ${name}`);
  }

  #whyNotDue(
    name: string,
    revision: number,
    isThis: (due: Due) => boolean,
  ): [promise: string, text: string] {
    if (revision < this.#start) return ["Resumable", `${name}, before ${this.#start}`];
    if (!this.#all.some(isThis)) return ["Event", `${name} was never committed`];
    return ["Filter", `${name} was not asked for`];
  }

  #compare(event: SeenEvent, { revision, change }: Due, at: number, name: string): void {
    const type = change.kv.version === 0 ? "delete" : "put";
    if (event.type !== type) this.#complain("Event", `${name} is a ${type}`);
    const found = difference(event.kv, change.kv, name);
    if (found !== undefined) this.#complain("Event", found);
    const before = this.#watch.request.prevKv ? (change.before ?? null) : null;
    if (event.prevKv === null && before !== null) {
      const isGone = this.#compactions.some((one) => one.revision >= revision && one.called <= at);
      if (isGone) return; // its predecessor was compacted away
    }
    const wrong = difference(event.prevKv, before, `${name} before`);
    if (wrong !== undefined) this.#complain("PrevKV", wrong);
  }

  #bookmark(revision: number): void {
    const next = this.#due.find((due, index) => index >= this.#next && due.isCertain);
    if (next !== undefined && next.revision <= revision) {
      this.#complain("Bookmarkable", `progress at ${revision}, but ${nameOf(next)} did not come`);
    }
    this.#progress = Math.max(this.#progress, revision);
  }

  #cancel({ compactRevision, at }: { compactRevision: number; at: number }, index: number): void {
    this.#isCanceled = true;
    if (compactRevision === 0) return;
    const seen = this.#watch.seen.slice(0, index);
    const through = deliveredThrough({ ...this.#watch, seen });
    if (through + 1 >= compactRevision) {
      this.#complain("Compacted", `canceled at ${compactRevision}, it needed ${through + 1} on`);
    }
    const isReal = this.#compactions.some((one) => {
      return one.revision === compactRevision && one.called <= at;
    });
    if (!isReal) this.#complain("Compacted", `nobody compacted at ${compactRevision}`);
  }

  #complain(promise: string, text: string): void {
    this.#complaints.push(`${this.#watch.id}: ${promise}: ${text}`);
  }
}

function nameOf({ revision, change }: Due): string {
  const { key, version } = change.kv;
  return `${version === 0 ? "delete" : "put"} ${key}@${revision}`;
}
