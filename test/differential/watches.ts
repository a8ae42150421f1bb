/**
 * Watchers of a run on one side. One stream watches everything with prev_kv: its events are the
 * history. Every other watcher, on one of several streams, must show exactly its part of that
 * history, each revision in one response unless it asked for fragments, and a compaction must
 * cancel whom it overtook.
 */
import { isOptionalEvent } from "./differences.ts";
import { WATCH_STREAMS } from "./generate/keys.ts";
import type { RawClient, WatchSession } from "./raw-client.ts";
import type { Tree, TreeMessage } from "./schema.ts";
import type { WatchBody } from "./steps.ts";

/** A watch request with its revision filled in. */
export type FilledWatch = Omit<WatchBody, "startRevision"> & { readonly startRevision: number };

/** An event with what is compared of it in text. */
export interface SeenEvent {
  readonly key: string;
  readonly isDelete: boolean;
  readonly modRevision: number;
  readonly kv: Tree;
  readonly prevKv: Tree;
}

interface Watcher {
  readonly body: FilledWatch;
  readonly stream: number;
  readonly id: number;
  readonly from: number;
  /** The compaction when it was created: predecessors below it were hidden from then on. */
  readonly compactRevision: number;
  /** History events that were there at its creation count as catch-up. */
  readonly createdAt: number;
}

export class SideWatches {
  readonly #client: RawClient;
  readonly #watchers = new Map<string, Watcher>();
  #history: WatchSession | undefined = undefined;
  /** What streams of the history showed that others have taken over from. */
  #before: TreeMessage[] = [];
  #streams: WatchSession[] = [];
  #from = 1;

  constructor(client: RawClient) {
    this.#client = client;
  }

  /** Begins a history at a revision, with nothing else watched. */
  async open(from: number): Promise<void> {
    this.close();
    this.#from = from;
    this.#before = [];
    await this.#begin(from, {});
  }

  /**
   * Goes on with streams of somebody who may see everything, and nothing else watched: we end
   * watchers of who has not said who he is once auth is enabled, and etcd does not.
   */
  async goOn(token: string, revision: number): Promise<void> {
    this.#before.push(...this.#historySession.responses);
    this.close();
    await this.#begin(revision + 1, { token });
  }

  async #begin(from: number, metadata: Readonly<Record<string, string>>): Promise<void> {
    this.#history = this.#client.openWatch("history", metadata);
    this.#streams = Array.from({ length: WATCH_STREAMS }, (_, index) =>
      this.#client.openWatch(`stream ${index}`, metadata),
    );
    await this.#history.create({ key: "\0", rangeEnd: "\0", startRevision: from, prevKv: true });
  }

  close(): void {
    this.#history?.close();
    for (const stream of this.#streams) stream.close();
    this.#watchers.clear();
  }

  /** Creates a watcher and waits for what follows at once; returns the answers to compare. */
  async create(
    stream: number,
    body: FilledWatch,
    revision: number,
    compactRevision: number,
  ): Promise<TreeMessage[]> {
    const session = this.#session(stream);
    const from = session.responses.length;
    const created = await session.create(withoutDefaults(body));
    if (created.canceled === true) return [created];
    const id = idOf(created);
    if (body.startRevision !== 0 && body.startRevision < compactRevision) {
      return [created, await this.#canceled(session, id, from)];
    }
    const start = body.startRevision === 0 ? revision + 1 : body.startRevision;
    const watcher = { body, stream, id, from: start, compactRevision, createdAt: revision };
    this.#watchers.set(`${stream}/${id}`, watcher);
    await this.settle(revision);
    return [created];
  }

  /** Cancels a watcher and returns the answer; nothing happens for an unknown id. */
  async cancel(stream: number, id: number): Promise<TreeMessage[]> {
    const session = this.#session(stream);
    if (!this.#watchers.has(`${stream}/${id}`)) return [];
    const from = session.responses.length;
    session.cancel(id);
    const canceled = await this.#canceled(session, id, from);
    this.#watchers.delete(`${stream}/${id}`);
    return [canceled];
  }

  /** Cancels what may not be there any more; nobody waits for an answer. */
  forget(stream: number, id: number): void {
    this.#session(stream).cancel(id);
  }

  /**
   * Watchers that began in the past and have shown nothing yet: they may still be catching up (of
   * which etcd says nothing), so whether a compaction cancels them is a matter of luck.
   */
  unproven(): Pick<Watcher, "stream" | "id">[] {
    return [...this.#watchers.values()].filter(
      (one) => one.from <= one.createdAt && this.#eventsOf(one).length === 0,
    );
  }

  /** Watchers whose given start is to come: since 3.7 their stream has no progress to tell. */
  notStarted(revision: number): Pick<Watcher, "stream" | "id">[] {
    return [...this.#watchers.values()].filter(({ body }) => body.startRevision > revision);
  }

  /** Streams that watch something. */
  watching(): number[] {
    return [...new Set([...this.#watchers.values()].map(({ stream }) => stream))];
  }

  /** Asks for progress until the whole stream is said to be at `revision`. */
  async progress(stream: number, revision: number): Promise<TreeMessage[]> {
    const session = this.#session(stream);
    const from = session.responses.length;
    const marks = (): TreeMessage[] =>
      session.responses.slice(from).filter((one) => idOf(one) === -1);
    session.requestProgress();
    await session.until(`progress at ${revision}`, () =>
      marks().some((one) => revisionOf(one) === revision),
    );
    return marks().slice(0, 1);
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
      await this.#historySession.until(`watchers at ${revision}`, complete);
    } catch (cause) {
      throw missing === "" ? cause : new Error(missing, { cause });
    }
    for (const session of this.#streams) assertWhole(session);
  }

  /** The whole history since open(), for comparison with the other side's. */
  history(): SeenEvent[] {
    return [...this.#before, ...this.#historySession.responses].flatMap(eventsIn);
  }

  get #historySession(): WatchSession {
    if (this.#history === undefined) throw new Error("nothing is watched yet");
    return this.#history;
  }

  #session(stream: number): WatchSession {
    const session = this.#streams[stream];
    if (session === undefined) throw new Error(`no stream ${stream}`);
    return session;
  }

  async #canceled(session: WatchSession, id: number, from: number): Promise<TreeMessage> {
    const find = (): TreeMessage | undefined =>
      session.responses
        .slice(from)
        .find((one) => one.canceled === true && idOf(one) === id && one.created !== true);
    await session.until(`watcher ${id} canceled`, () => find() !== undefined);
    return find() as TreeMessage;
  }

  /** What is not there yet; throws if something is there that must not be. */
  #missing(revision: number): string {
    const history = this.history();
    const last = history.at(-1)?.modRevision ?? this.#from - 1;
    if (last < Math.max(revision, this.#from - 1) && revision > 1) {
      return `the history ends at ${last}, not at ${revision}`;
    }
    for (const watcher of this.#watchers.values()) {
      const missing = this.#missingOf(watcher, history);
      if (missing !== "") return missing;
    }
    return "";
  }

  #missingOf(watcher: Watcher, history: readonly SeenEvent[]): string {
    // One that starts at the end of what was removed after a race may still be shown its deletes.
    const got = this.#eventsOf(watcher)
      .filter(({ modRevision }) => modRevision >= this.#from)
      .map(textOf);
    const due = history.filter((one) => sees(watcher, one)).map((one) => shown(watcher, one));
    const strict = due.map(textOf);
    const lenient = due.filter((one) => !isOptional(watcher, one)).map(textOf);
    if (isSame(got, strict) || isSame(got, lenient)) return "";
    const lists = `shows\n${got.join("\n")}\ninstead of\n${strict.join("\n")}`;
    const report = `watcher ${JSON.stringify(watcher)} ${lists}`;
    const onTheWay = isPrefix(got, strict) || isPrefix(got, lenient);
    if (!onTheWay) throw new Error(report);
    return report;
  }

  /** Events of a watcher since its (last) creation. */
  #eventsOf({ stream, id }: Pick<Watcher, "stream" | "id">): SeenEvent[] {
    const { responses } = this.#session(stream);
    const born = responses.findLastIndex((one) => one.created === true && idOf(one) === id);
    return responses
      .slice(born)
      .filter((one) => idOf(one) === id)
      .flatMap(eventsIn);
  }
}

/** No revision is told in two responses of one watcher, and no response is ahead of its header. */
function assertWhole({ responses }: WatchSession): void {
  const lastOf = new Map<number, number>();
  const isFragment = new Map<number, boolean>();
  for (const response of responses) {
    const id = idOf(response);
    if (response.created === true) lastOf.delete(id);
    const events = eventsIn(response);
    const [first] = events;
    if (first === undefined) continue;
    const isSplit = first.modRevision === lastOf.get(id) && isFragment.get(id) !== true;
    if (isSplit) throw new Error(`revision ${first.modRevision} was split`);
    const last = events.at(-1)?.modRevision ?? 0;
    if (revisionOf(response) < last) throw new Error(`header behind event ${last}`);
    lastOf.set(id, last);
    isFragment.set(id, response.fragment === true);
  }
}

function withoutDefaults(body: FilledWatch): object {
  const entries = Object.entries(body).filter(
    ([, value]) => value !== 0 && value !== "" && value !== false,
  );
  return Object.fromEntries(entries);
}

function idOf(response: TreeMessage): number {
  return Number(response.watchId ?? 0);
}

function revisionOf(response: TreeMessage): number {
  return Number((response.header as TreeMessage | undefined)?.revision ?? 0);
}

function eventsIn(response: TreeMessage): SeenEvent[] {
  return ((response.events ?? []) as TreeMessage[]).map((event) => {
    const kv = event.kv as TreeMessage;
    return {
      key: kv.key as string,
      isDelete: event.type === 1,
      modRevision: Number(kv.modRevision),
      kv,
      prevKv: event.prevKv ?? null,
    };
  });
}

function isPrefix(short: readonly string[], long: readonly string[]): boolean {
  return short.length <= long.length && short.every((one, index) => one === long[index]);
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && isPrefix(a, b);
}

function textOf(event: SeenEvent): string {
  const [kv, previous] = [JSON.stringify(event.kv), JSON.stringify(event.prevKv)];
  return `${event.isDelete ? "delete" : "put"} ${kv} was ${previous}`;
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
  return hidden ? { ...event, prevKv: null } : event;
}

function isOptional({ body, compactRevision }: Watcher, event: SeenEvent): boolean {
  return body.startRevision === compactRevision && isOptionalEvent(event, compactRevision);
}
