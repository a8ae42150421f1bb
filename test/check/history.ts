/**
 * What clients did and saw, as plain data, and the recorder that writes it down. One recorder for
 * each client; merge() joins them. All times are milliseconds of one monotonic clock, that of the
 * process in which the clients run.
 *
 * A call is "unknown" until its outcome is told: what never gets an answer (a timeout, a lost
 * connection, a killed server) may have happened, may happen later, or never.
 */
import { assert } from "../../src/base/assert.ts";
import type { Answer, Request, SeenKeyValue } from "./requests.ts";

export type Outcome =
  | { readonly kind: "answered"; readonly at: number; readonly answer: Answer }
  /** The server said no: it did not happen. The code is one of src/base/errors.ts. */
  | { readonly kind: "refused"; readonly at: number; readonly code: string }
  | { readonly kind: "unknown" };

export interface Call {
  readonly id: string;
  readonly client: string;
  readonly request: Request;
  readonly call: number;
  outcome: Outcome;
}

export interface WatchRequest {
  readonly key: string;
  readonly end?: string;
  /** 0: from now on, which is after the revision of the "created" answer. */
  readonly startRevision: number;
  readonly prevKv: boolean;
  readonly without: readonly ("put" | "delete")[];
}

export interface SeenEvent {
  readonly type: "put" | "delete";
  /** Of a deletion only key and mod_revision have a meaning. */
  readonly kv: SeenKeyValue & { readonly modRevision: number };
  readonly prevKv: SeenKeyValue | null;
}

/** One response of a watch stream to one watcher (progress of a whole stream: one for each). */
export type WatchSeen =
  | { readonly kind: "created"; readonly at: number; readonly revision: number }
  | {
      readonly kind: "events";
      readonly at: number;
      readonly revision: number;
      readonly events: readonly SeenEvent[];
      /** More of the last revision follows in the next response. */
      readonly fragment: boolean;
    }
  | { readonly kind: "progress"; readonly at: number; readonly revision: number }
  /** compactRevision 0: for another reason than a compaction. */
  | { readonly kind: "canceled"; readonly at: number; readonly compactRevision: number };

/** A watcher from its creation until it is canceled or its connection ends. */
export interface Watch {
  readonly id: string;
  readonly client: string;
  readonly request: WatchRequest;
  /** The watcher that this one goes on for, after a lost connection. */
  readonly resumes?: string;
  readonly seen: WatchSeen[];
}

/** A lock that was held: from when to when its holder could be sure of it. */
export interface Hold {
  readonly id: string;
  readonly client: string;
  readonly lock: string;
  readonly token: number;
  /** When it was asked for, and when the answer came. */
  readonly call: number;
  readonly acquired: number;
  /** When the release was sent, or its lease may have run out: certain only before. */
  certainUntil: number;
}

/** An access to what a lock guards, in the order in which the resource saw them. */
export interface Access {
  readonly client: string;
  readonly lock: string;
  readonly token: number;
  readonly at: number;
  readonly accepted: boolean;
}

export interface History {
  readonly calls: readonly Call[];
  readonly watches: readonly Watch[];
  readonly holds: readonly Hold[];
  readonly accesses: readonly Access[];
}

/** Tells the outcome of one call, once. */
export class CallRecorder {
  readonly #call: Call;
  readonly #now: () => number;

  constructor(call: Call, now: () => number) {
    this.#call = call;
    this.#now = now;
  }

  answered(answer: Answer): void {
    this.#end({ kind: "answered", at: this.#now(), answer });
  }

  /** For refusals after which it is certain that nothing happened; a timeout is none. */
  refused(code: string): void {
    this.#end({ kind: "refused", at: this.#now(), code });
  }

  #end(outcome: Outcome): void {
    assert(this.#call.outcome.kind === "unknown", `${this.#call.id} has one outcome`);
    this.#call.outcome = outcome;
  }
}

/** Writes down what one watcher was told. */
export class WatchRecorder {
  readonly #watch: Watch;
  readonly #now: () => number;

  constructor(watch: Watch, now: () => number) {
    this.#watch = watch;
    this.#now = now;
  }

  get id(): string {
    return this.#watch.id;
  }

  created(revision: number): void {
    this.#watch.seen.push({ kind: "created", at: this.#now(), revision });
  }

  events(revision: number, events: readonly SeenEvent[], fragment = false): void {
    this.#watch.seen.push({ kind: "events", at: this.#now(), revision, events, fragment });
  }

  progress(revision: number): void {
    this.#watch.seen.push({ kind: "progress", at: this.#now(), revision });
  }

  canceled(compactRevision = 0): void {
    this.#watch.seen.push({ kind: "canceled", at: this.#now(), compactRevision });
  }
}

export class Recorder {
  readonly #client: string;
  readonly #now: () => number;
  readonly #calls: Call[] = [];
  readonly #watches: Watch[] = [];
  readonly #holds: Hold[] = [];

  /** Clients need different names. */
  constructor(client: string, now: () => number) {
    this.#client = client;
    this.#now = now;
  }

  /** Notes a request that is about to be sent. */
  call(request: Request): CallRecorder {
    const id = `${this.#client}#${this.#calls.length + 1}`;
    const outcome = { kind: "unknown" } as const;
    const call: Call = { id, client: this.#client, request, call: this.#now(), outcome };
    this.#calls.push(call);
    return new CallRecorder(call, this.#now);
  }

  /** Notes a watcher; `resumes` is the one before it when a connection was lost. */
  watch(request: WatchRequest, resumes?: WatchRecorder): WatchRecorder {
    const id = `${this.#client}~${this.#watches.length + 1}`;
    const before = resumes === undefined ? {} : { resumes: resumes.id };
    const watch: Watch = { id, client: this.#client, request, ...before, seen: [] };
    this.#watches.push(watch);
    return new WatchRecorder(watch, this.#now);
  }

  /**
   * Notes a lock that was just acquired after being asked for at `call`. The holder sets
   * `certainUntil` on when it renews its lease, and back when it is about to release.
   */
  hold(lock: string, token: number, call: number, certainUntil: number): Hold {
    const id = `${this.#client}!${this.#holds.length + 1}`;
    const acquired = this.#now();
    const hold = { id, client: this.#client, lock, token, call, acquired, certainUntil };
    this.#holds.push(hold);
    return hold;
  }

  history(): History {
    const { calls, watches, holds } = {
      calls: this.#calls,
      watches: this.#watches,
      holds: this.#holds,
    };
    return { calls, watches, holds, accesses: [] };
  }
}

/** The histories of all clients as one, calls in the order in which they were sent. */
export function merge(histories: readonly History[]): History {
  const calls = histories.flatMap((one) => one.calls);
  calls.sort((a, b) => a.call - b.call);
  return {
    calls,
    watches: histories.flatMap((one) => one.watches),
    holds: histories.flatMap((one) => one.holds),
    accesses: histories.flatMap((one) => one.accesses),
  };
}

const LINE_KINDS = ["calls", "watches", "holds", "accesses"] as const;

/** A line of JSON for each call, watch, hold and access. */
export function toLines(history: History): string {
  const lines: string[] = [];
  for (const kind of LINE_KINDS) {
    for (const item of history[kind]) lines.push(JSON.stringify({ in: kind, ...item }));
  }
  return `${lines.join("\n")}\n`;
}

/** Reads what toLines() wrote; throws on a line that is none of these. */
export function fromLines(text: string): History {
  const history = { calls: [], watches: [], holds: [], accesses: [] } as Record<string, object[]>;
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const { in: kind, ...item } = JSON.parse(line) as { in: string };
    const items = history[kind];
    if (items === undefined) throw new Error(`not a line of a history: ${line.slice(0, 80)}`);
    items.push(item);
  }
  return history as unknown as History;
}
