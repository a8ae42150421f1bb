/**
 * Watchers of a run on one side. The first watches everything from the beginning with prev_kv:
 * its events are the history. Every other must show exactly its part of that history, each
 * revision in one response, and a compaction must cancel whom it overtook.
 */
import { isOptionalEvent } from "./differences.ts";
import type { Answer, Plain, WatchSession } from "./endpoint.ts";
import type { WatchBody } from "./requests.ts";

type Body = Answer["body"];

/** An event with what is compared of it in text. */
interface SeenEvent {
  readonly key: string;
  readonly isDelete: boolean;
  readonly modRevision: number;
  readonly kv: string;
  readonly prevKv: string;
}

interface Watcher {
  readonly body: WatchBody;
  readonly from: number;
  /** The compaction when it was created: predecessors below it were hidden from then on. */
  readonly compactRevision: number;
  /** History events that were there at its creation count as catch-up. */
  readonly createdAt: number;
}

const EVERYTHING: WatchBody = {
  key: "\0",
  rangeEnd: "\0",
  startRevision: 1,
  filters: [],
  prevKv: true,
  watchId: 0,
};

const NO_EVENT = "null";

export class SideWatches {
  readonly #session: WatchSession;
  readonly #watchers = new Map<number, Watcher>();

  constructor(session: WatchSession) {
    this.#session = session;
  }

  async open(): Promise<void> {
    await this.#session.create(EVERYTHING);
    this.#watchers.set(0, { body: EVERYTHING, from: 1, compactRevision: -1, createdAt: 1 });
  }

  /** Creates a watcher and waits for what follows at once; returns the answers to compare. */
  async create(body: WatchBody, revision: number, compactRevision: number): Promise<Body[]> {
    const from = this.#session.responses.length;
    const created = await this.#session.create(body);
    if (created.canceled === true) return [created];
    const id = Number(created.watchId);
    if (body.startRevision !== 0 && body.startRevision < compactRevision) {
      await this.#canceled(id, from);
      return [created, this.#find(id, from) as Body];
    }
    const start = body.startRevision === 0 ? revision + 1 : body.startRevision;
    this.#watchers.set(id, { body, from: start, compactRevision, createdAt: revision });
    await this.settle(revision);
    return [created];
  }

  /** Cancels a watcher and returns the answer; nothing happens for an unknown id. */
  async cancel(watchId: number): Promise<Body[]> {
    if (watchId === 0 || !this.#watchers.has(watchId)) return [];
    const from = this.#session.responses.length;
    this.#session.cancel(watchId);
    await this.#canceled(watchId, from);
    this.#watchers.delete(watchId);
    return [this.#find(watchId, from) as Body];
  }

  /**
   * Watchers that began in the past and have shown nothing yet: they may still be catching up (of
   * which etcd says nothing), so whether a compaction cancels them is a matter of luck.
   */
  unproven(): number[] {
    const found: number[] = [];
    for (const [id, { from, createdAt }] of this.#watchers) {
      if (from <= createdAt && this.#eventsOf(id).length === 0) found.push(id);
    }
    return found;
  }

  /**
   * Watchers whose start is still to come: with one of them on the stream there is no progress to
   * tell since 3.7, while 3.4 tells it all the same.
   */
  notStarted(revision: number): number[] {
    return [...this.#watchers].filter(([, { from }]) => from > revision + 1).map(([id]) => id);
  }

  /** Asks for progress until the whole stream is said to be at `revision`. */
  async progress(revision: number): Promise<void> {
    const from = this.#session.responses.length;
    this.#session.requestProgress();
    await this.#session.until(`progress at ${revision}`, () =>
      this.#session.responses
        .slice(from)
        .some((one) => one.watchId === "-1" && revisionOf(one) === revision),
    );
  }

  /** Waits until the history has `revision` and every watcher shows its part of it. */
  async settle(revision: number): Promise<void> {
    let missing = "";
    const complete = (): boolean => {
      missing = "";
      missing = this.#missing(revision);
      return missing === "";
    };
    try {
      await this.#session.until(`watchers at ${revision}`, complete);
    } catch (cause) {
      throw missing === "" ? cause : new Error(missing, { cause });
    }
    this.#assertAtomic();
  }

  /** The whole history, for comparison with the other side's. */
  history(): SeenEvent[] {
    return this.#eventsOf(0);
  }

  async #canceled(id: number, from: number): Promise<void> {
    await this.#session.until(`watcher ${id} canceled`, () => this.#find(id, from) !== undefined);
  }

  #find(id: number, from: number): Body | undefined {
    return this.#session.responses
      .slice(from)
      .find((one) => one.canceled === true && one.watchId === String(id) && !one.created);
  }

  /** What is not there yet; throws if something is there that must not be. */
  #missing(revision: number): string {
    const history = this.history();
    const last = history.at(-1)?.modRevision ?? 1;
    if (last < revision) return `the history ends at ${last}, not at ${revision}`;
    for (const [id, watcher] of this.#watchers) {
      const missing = this.#missingOf(id, watcher, history);
      if (missing !== "") return missing;
    }
    return "";
  }

  #missingOf(id: number, watcher: Watcher, history: readonly SeenEvent[]): string {
    const got = this.#eventsOf(id).map(textOf);
    const due = history.filter((one) => sees(watcher, one)).map((one) => shown(watcher, one));
    const strict = due.map(textOf);
    const lenient = due.filter((one) => !isOptional(watcher, one)).map(textOf);
    if (isSame(got, strict) || isSame(got, lenient)) return "";
    const lists = `shows\n${got.join("\n")}\ninstead of\n${strict.join("\n")}`;
    const report = `watcher ${id} ${JSON.stringify(watcher)} ${lists}`;
    const onTheWay = isPrefix(got, strict) || isPrefix(got, lenient);
    if (!onTheWay) throw new Error(report);
    return report;
  }

  /** Events of a watcher since its (last) creation. */
  #eventsOf(id: number): SeenEvent[] {
    const { responses } = this.#session;
    const born = responses.findLastIndex(
      (one) => one.created === true && one.watchId === String(id),
    );
    return responses
      .slice(born)
      .filter((one) => one.watchId === String(id))
      .flatMap((one) => (one.events as Plain[]).map(seen));
  }

  #assertAtomic(): void {
    const lastOf = new Map<Plain, number>();
    for (const response of this.#session.responses) {
      if (response.created === true) lastOf.delete(response.watchId ?? null);
      const events = (response.events as Plain[]).map(seen);
      const last = lastOf.get(response.watchId ?? null);
      if (events[0] === undefined) continue;
      if (events[0].modRevision === last) throw new Error(`revision ${last} was split`);
      lastOf.set(response.watchId ?? null, events.at(-1)?.modRevision ?? 0);
    }
  }
}

function revisionOf(response: Body): number {
  return Number((response.header as { revision: string }).revision);
}

function seen(plain: Plain): SeenEvent {
  const event = plain as { type: string; kv: { key: string; modRevision: string }; prevKv: Plain };
  return {
    key: event.kv.key,
    isDelete: event.type === "DELETE" || String(event.type) === "1",
    modRevision: Number(event.kv.modRevision),
    kv: JSON.stringify(event.kv),
    prevKv: JSON.stringify(event.prevKv),
  };
}

function isPrefix(short: readonly string[], long: readonly string[]): boolean {
  return short.length <= long.length && short.every((one, index) => one === long[index]);
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && isPrefix(a, b);
}

function textOf(event: SeenEvent): string {
  return `${event.isDelete ? "delete" : "put"} ${event.kv} was ${event.prevKv}`;
}

function sees({ body, from }: Watcher, event: SeenEvent): boolean {
  if (event.modRevision < from) return false;
  if (body.filters.includes(event.isDelete ? 1 : 0)) return false;
  const key = body.key === "" ? "\0" : body.key;
  if (body.rangeEnd === "") return event.key === key;
  return event.key >= key && (body.rangeEnd === "\0" || event.key < body.rangeEnd);
}

/** The event as this watcher is shown it. */
function shown({ body, compactRevision }: Watcher, event: SeenEvent): SeenEvent {
  const hidden = !body.prevKv || event.modRevision - 1 < compactRevision;
  return hidden ? { ...event, prevKv: NO_EVENT } : event;
}

function isOptional({ body, compactRevision }: Watcher, event: SeenEvent): boolean {
  return body.startRevision === compactRevision && isOptionalEvent(event, compactRevision);
}
