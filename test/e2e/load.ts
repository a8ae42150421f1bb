/**
 * Load on a server that is killed again and again, and a watcher that resumes: they note what was
 * acknowledged and what was seen, for history.ts to judge. Each worker has keys and leases of its
 * own and one request in flight, so it knows what its requests must have changed.
 */
import { Prng } from "../../src/base/prng.ts";
import type { GrpcJsClient, Inbox, Message, WatchEvent } from "../support/grpc-js.ts";
import { until } from "../support/processes.ts";
import type { Change, History, SeenEvent, Snapshot, Write } from "./history.ts";

/** Few keys a worker, so that they are overwritten and deleted often. */
const KEYS_PER_WORKER = 6;
/** Far beyond a run: no lease expires by itself. */
const LEASE_TTL_SECONDS = 100_000;
const EVERYTHING = { key: Buffer.from("\0"), rangeEnd: Buffer.from("\0") };

type LeaseState = "granted" | "revoked" | "unknown";

/** What all workers noted. */
export class Notes {
  readonly writes: Write[] = [];
  readonly events: SeenEvent[] = [];
  readonly snapshots: Snapshot[] = [];
  readonly revisions = new Map<string, number[]>();
  readonly leases = new Map<string, LeaseState>();
  acknowledged = 0;

  saw(client: string, { header }: Message): number {
    const revision = Number(header.revision);
    const seen = this.revisions.get(client);
    if (seen === undefined) this.revisions.set(client, [revision]);
    else seen.push(revision);
    return revision;
  }

  history(leasesFound: ReadonlySet<string>): History {
    const { writes, events, snapshots, revisions, leases } = this;
    return { writes, events, snapshots, revisions, leases, leasesFound };
  }
}

export class Worker {
  readonly #name: string;
  readonly #notes: Notes;
  readonly #prng: Prng;
  #count = 0;
  /** The lease in use and the keys it holds; undefined when its state is not certain. */
  #lease: { readonly id: string; readonly held: Set<string> } | undefined;

  constructor(number: number, notes: Notes, seed: number) {
    this.#name = `w${number}`;
    this.#notes = notes;
    this.#prng = new Prng(seed * 1000 + number);
  }

  /** Sends requests one after the other until one fails: then its outcome is not known. */
  async run(client: GrpcJsClient): Promise<void> {
    try {
      for (;;) {
        await this.#one(client);
        this.#notes.acknowledged++;
      }
    } catch (error) {
      if (!("code" in (error as object))) throw error; // not the end of the connection
      this.#lease = undefined;
    }
  }

  #one(client: GrpcJsClient): Promise<void> {
    const roll = this.#prng.below(100);
    if (roll < 50) return this.#put(client, [this.#key()]);
    if (roll < 70) {
      const first = this.#prng.below(KEYS_PER_WORKER - 2);
      const count = 2 + this.#prng.below(2);
      const keys = Array.from({ length: count }, (_, index) => this.#keyAt(first + index));
      return this.#put(client, keys);
    }
    if (roll < 85) return this.#delete(client);
    if (roll < 95 || this.#lease === undefined) return this.#putLeased(client);
    return this.#revoke(client, this.#lease);
  }

  #key(): string {
    return this.#keyAt(this.#prng.below(KEYS_PER_WORKER));
  }

  #keyAt(index: number): string {
    return `${this.#name}/${index}`;
  }

  #newValue(): string {
    return `${this.#name}-${++this.#count}`;
  }

  /** Notes a write before it is sent; `acknowledge` adds what the answer said. */
  #note(changes: readonly Change[]): (answer: Message, nothing?: boolean) => void {
    const { writes } = this.#notes;
    const at = writes.length;
    writes.push({ changes });
    return (answer, nothing = false) => {
      const revision = this.#notes.saw(this.#name, answer);
      writes[at] = { changes, revision: nothing ? 0 : revision };
    };
  }

  async #put(client: GrpcJsClient, keys: readonly string[]): Promise<void> {
    const changes = keys.map((key) => ({ key, value: this.#newValue() }));
    const acknowledge = this.#note(changes);
    const puts = changes.map(({ key, value }) => ({
      key: Buffer.from(key),
      value: Buffer.from(value),
    }));
    if (puts.length === 1) {
      acknowledge(await client.unary("etcdserverpb.KV/Put", puts[0]));
      return;
    }
    const success = puts.map((requestPut) => ({ requestPut }));
    acknowledge(await client.unary("etcdserverpb.KV/Txn", { success }));
  }

  async #delete(client: GrpcJsClient): Promise<void> {
    const key = this.#key();
    const acknowledge = this.#note([{ key, value: undefined }]);
    const answer = await client.unary("etcdserverpb.KV/DeleteRange", { key: Buffer.from(key) });
    acknowledge(answer, answer.deleted === "0");
  }

  async #putLeased(client: GrpcJsClient): Promise<void> {
    this.#lease ??= await this.#grant(client);
    const { id, held } = this.#lease;
    const key = `${this.#name}/leased/${id}/${held.size}`;
    const value = this.#newValue();
    const acknowledge = this.#note([{ key, value }]);
    const request = { key: Buffer.from(key), value: Buffer.from(value), lease: id };
    acknowledge(await client.unary("etcdserverpb.KV/Put", request));
    held.add(key);
  }

  async #grant(client: GrpcJsClient): Promise<{ id: string; held: Set<string> }> {
    const answer = await client.unary("etcdserverpb.Lease/LeaseGrant", { TTL: LEASE_TTL_SECONDS });
    this.#notes.saw(this.#name, answer);
    this.#notes.leases.set(answer.ID, "granted");
    return { id: answer.ID, held: new Set() };
  }

  async #revoke(
    client: GrpcJsClient,
    { id, held }: { id: string; held: Set<string> },
  ): Promise<void> {
    const changes = [...held].map((key) => ({ key, value: undefined }));
    const acknowledge = this.#note(changes);
    this.#notes.leases.set(id, "unknown");
    const answer = await client.unary("etcdserverpb.Lease/LeaseRevoke", { ID: id });
    acknowledge(answer, changes.length === 0);
    this.#notes.leases.set(id, "revoked");
    this.#lease = undefined;
  }
}

/** Watches everything, and goes on behind the last revision it was told, whatever happens. */
export class Watching {
  readonly #notes: Notes;
  #inbox: Inbox | undefined;

  constructor(notes: Notes) {
    this.#notes = notes;
  }

  get lastRevision(): number {
    return this.#notes.events.at(-1)?.revision ?? 1;
  }

  resume(client: GrpcJsClient): void {
    const inbox = client.duplex("etcdserverpb.Watch/Watch");
    inbox.onMessage = ({ events }) => {
      for (const event of events) this.#notes.events.push(seen(event));
    };
    inbox.send({ createRequest: { ...EVERYTHING, startRevision: this.lastRevision + 1 } });
    this.#inbox = inbox;
  }

  /** Waits until it was told of `revision`. */
  async reach(revision: number): Promise<void> {
    await this.#inbox?.until(`revision ${revision}`, () => this.lastRevision >= revision);
  }

  /** The server is gone: waits until nothing more can come from it. */
  async ended(): Promise<void> {
    const inbox = this.#inbox;
    await until("the watch has ended", () => inbox === undefined || inbox.ended);
  }
}

function seen({ type, kv }: WatchEvent): SeenEvent {
  return {
    key: kv.key.toString(),
    value: type === "DELETE" ? undefined : kv.value.toString(),
    revision: Number(kv.modRevision),
  };
}

/** Reads the whole store at one revision. */
export async function readAll(client: GrpcJsClient, notes: Notes): Promise<Snapshot> {
  const answer = await client.unary("etcdserverpb.KV/Range", EVERYTHING);
  const entries = new Map(answer.kvs.map(({ key, value }) => [key.toString(), value.toString()]));
  return { revision: notes.saw("reader", answer), entries };
}
