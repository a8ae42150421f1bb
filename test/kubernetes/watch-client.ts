/**
 * Watches as etcd's Go client makes them for kube-apiserver: all on ONE stream, which asks for a
 * leader (metadata hasleader), previous values always, one create request at a time. A stream that
 * breaks is opened again at the next endpoint, and every watch goes on from the first revision that
 * it has not seen. What kube-apiserver cannot live with is kept as a complaint: an event that is no
 * creation without its previous value, a gap, an event twice, a mark ahead of an event.
 */
import { Metadata } from "@grpc/grpc-js";
import { GrpcJsClient, type Inbox, type Message, type WatchEvent } from "../support/grpc-js.ts";
import { until } from "../support/processes.ts";
import { endOf, revisionOf } from "./store.ts";

/** Before a broken stream is opened again. */
const RETRY_MS = 50;

export interface Watch {
  /** A prefix, unless it does not end with "/". */
  readonly key: string;
  readonly progressNotify: boolean;
  readonly events: WatchEvent[];
  /** Revisions up to which everything is known to have come. */
  readonly marks: number[];
  /** The first revision that is still to come. */
  next: number;
  id: string | undefined;
  /** The revision of the compaction that ended it. */
  compacted: number | undefined;
}

export class WatchClient implements Disposable {
  readonly complaints: string[] = [];
  /** How often the stream was opened. */
  streams = 0;
  readonly #endpoints: readonly string[];
  readonly #watches: Watch[] = [];
  /** Watches to be created; the first one is asked for. */
  #creating: Watch[] = [];
  #client: GrpcJsClient | undefined = undefined;
  #inbox: Inbox | undefined = undefined;
  #closed = false;

  /** Endpoints are host:port. */
  constructor(endpoints: readonly string[]) {
    this.#endpoints = endpoints;
    this.#open();
  }

  /** Watches from the first revision after `revision` on. */
  async watch(key: string, revision: number, progressNotify = false): Promise<Watch> {
    const [events, marks]: [WatchEvent[], number[]] = [[], []];
    const state = { next: revision + 1, id: undefined, compacted: undefined };
    const watch: Watch = { key, progressNotify, events, marks, ...state };
    this.#watches.push(watch);
    this.#enqueue([watch]);
    await until(`${key} is watched`, () => watch.id !== undefined);
    return watch;
  }

  /** Asks how far the stream has come; there is an answer only if all of it is up to date. */
  requestProgress(): void {
    this.#inbox?.send({ progressRequest: {} });
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#inbox?.cancel();
    this.#client?.close();
  }

  #open(): void {
    if (this.#closed) return;
    this.#client?.close();
    const endpoint = this.#endpoints[this.streams++ % this.#endpoints.length] as string;
    this.#client = new GrpcJsClient(endpoint);
    const metadata = new Metadata();
    metadata.set("hasleader", "true");
    const inbox = this.#client.duplex("etcdserverpb.Watch/Watch", metadata);
    this.#inbox = inbox;
    inbox.onMessage = (message) => this.#onMessage(message);
    inbox.onEnd = () => setTimeout(() => this.#open(), RETRY_MS);
    const going = this.#watches.filter(({ compacted }) => compacted === undefined);
    for (const watch of going) watch.id = undefined;
    this.#creating = [];
    this.#enqueue(going);
  }

  #enqueue(watches: readonly Watch[]): void {
    const isIdle = this.#creating.length === 0;
    this.#creating.push(...watches);
    if (isIdle) this.#createNext();
  }

  #createNext(): void {
    const [watch] = this.#creating;
    if (watch === undefined) return;
    const { key, next, progressNotify } = watch;
    const rangeEnd = Buffer.from(key.endsWith("/") ? endOf(key) : "", "latin1");
    this.#inbox?.send({
      createRequest: {
        ...{ key: Buffer.from(key, "latin1"), rangeEnd },
        ...{ startRevision: next, prevKv: true, progressNotify },
      },
    });
  }

  #onMessage(message: Message): void {
    if (message.created) {
      const watch = this.#creating.shift();
      if (watch === undefined || message.canceled) this.#complain("created by nobody", message);
      else watch.id = message.watchId;
      this.#createNext();
    } else if (message.watchId === "-1") {
      for (const watch of this.#watches) if (watch.id !== undefined) this.#mark(watch, message);
    } else {
      const watch = this.#watches.find(({ id }) => id === message.watchId);
      if (watch === undefined) this.#complain("nobody's", message);
      else if (message.canceled) watch.compacted = Number(message.compactRevision);
      else if (message.events.length === 0) this.#mark(watch, message);
      else this.#take(watch, message);
    }
  }

  #mark(watch: Watch, message: Message): void {
    const revision = revisionOf(message);
    if (revision + 1 < watch.next) this.#complain("a mark goes back", message);
    watch.marks.push(revision);
    watch.next = revision + 1;
  }

  #take(watch: Watch, message: Message): void {
    let last = watch.next - 1;
    for (const event of message.events) {
      const { kv, prevKv, type } = event;
      const revision = Number(kv.modRevision);
      if (revision < watch.next || revision < last) this.#complain("an event comes late", message);
      const isCreation = type === "PUT" && kv.createRevision === kv.modRevision;
      if (!isCreation && prevKv === null) this.#complain("no previous value", message);
      if (isCreation && prevKv !== null) this.#complain("a creation has a past", message);
      last = revision;
      watch.events.push(event);
    }
    if (revisionOf(message) < last) this.#complain("a response is older than its event", message);
    watch.next = last + 1;
  }

  #complain(what: string, { watchId, header, events }: Message): void {
    const keys = events.slice(0, 3).map(({ kv }) => `${kv.key}@${kv.modRevision}`);
    this.complaints.push(`${what}: watch ${watchId}, revision ${header?.revision}, ${keys}`);
  }
}
