/**
 * Copies keys from one cluster to another: first all there are at one revision, then every change,
 * in order, one transaction a revision (or several, if it has more operations than are allowed).
 * Leases are not copied, as in etcdctl: the other cluster has others.
 */
import type { Key } from "../../../base/bytes.ts";
import type { EtcdClient } from "../../../client/etcd-client.ts";
import {
  DeleteRangeRequest,
  PutRequest,
  RequestOp,
  SortOrder,
  SortTarget,
} from "../../../proto/gen/etcdserverpb.ts";
import { type Event, EventType } from "../../../proto/gen/mvccpb.ts";
import { prefixEnd } from "../key-range.ts";

/** Keys in one read of what there is: etcdctl's number. */
const BATCH_KEYS = 1000;
/** Writes of those that wait for their answers at a time; their order does not matter. */
const WRITES_MAX = 64;

export interface MirrorPlan {
  /** "": all keys. */
  readonly prefix: Key;
  /** What stands there instead of it. */
  readonly destinationPrefix: Key;
  /** 0: copy what there is first; else only changes from this revision on. */
  readonly revision: number;
  readonly operationsMax: number;
  /** Ends it. */
  readonly signal: AbortSignal;
}

export class Mirror {
  readonly #source: EtcdClient;
  readonly #destination: EtcdClient;
  readonly #plan: MirrorPlan;
  /** Keys written and deleted so far. */
  total = 0;

  constructor(source: EtcdClient, destination: EtcdClient, plan: MirrorPlan) {
    this.#source = source;
    this.#destination = destination;
    this.#plan = plan;
  }

  /** Goes on until it is stopped; rejects with GrpcError when either cluster refuses. */
  async run(): Promise<void> {
    const { revision, signal } = this.#plan;
    const startRevision = revision > 1 ? revision : (await this.#copyAll()) + 1;
    const watched = { ...this.#range(), startRevision, signal };
    for await (const { events } of this.#source.watch(watched)) await this.#follow(events);
  }

  #range(): { readonly key: Key; readonly rangeEnd: Key } {
    const { prefix } = this.#plan;
    return prefix === "" ? EVERYTHING : { key: prefix, rangeEnd: prefixEnd(prefix) };
  }

  /** Copies what there is; the revision it is of. */
  async #copyAll(): Promise<number> {
    const { rangeEnd, key: first } = this.#range();
    const order = { sortOrder: SortOrder.ASCEND, sortTarget: SortTarget.KEY };
    let revision = 0;
    for (let key = first, more = true; more; ) {
      const request = { key, rangeEnd, revision, limit: BATCH_KEYS, ...order };
      const page = await this.#source.range(request, ANY_TIME);
      revision ||= page.header?.revision ?? 0;
      for (let at = 0; at < page.kvs.length; at += WRITES_MAX) {
        const some = page.kvs.slice(at, at + WRITES_MAX);
        const puts = some.map((kv) =>
          this.#destination.put(this.#renamed(kv.key), kv.value, {}, ANY_TIME),
        );
        await Promise.all(puts);
        this.total += some.length;
      }
      more = page.more;
      key = `${page.kvs.at(-1)?.key ?? key}\0`;
    }
    return revision;
  }

  /** Does the same there; a revision's events stay together. */
  async #follow(events: readonly Event[]): Promise<void> {
    let operations: RequestOp[] = [];
    let revision = 0;
    const commit = async (): Promise<void> => {
      if (operations.length === 0) return;
      await this.#destination.txn([], operations, [], ANY_TIME);
      operations = [];
    };
    for (const event of events) {
      const { key = "", value = new Uint8Array(), modRevision = 0 } = event.kv ?? {};
      const full = operations.length >= this.#plan.operationsMax;
      if (full || (revision !== 0 && modRevision > revision)) await commit();
      revision = modRevision;
      operations.push(operation(event.type === EventType.DELETE, this.#renamed(key), value));
      this.total++;
    }
    await commit();
  }

  #renamed(key: Key): Key {
    const { prefix, destinationPrefix } = this.#plan;
    return destinationPrefix + key.slice(prefix.length);
  }
}

const EVERYTHING = { key: "\0", rangeEnd: "\0" };
/** No time limit of a command: tries go on for as long as the client allows. */
const ANY_TIME = { timeoutMs: Number.POSITIVE_INFINITY };

function operation(isDelete: boolean, key: Key, value: Uint8Array): RequestOp {
  if (isDelete) return RequestOp.create({ requestDeleteRange: DeleteRangeRequest.create({ key }) });
  return RequestOp.create({ requestPut: PutRequest.create({ key, value }) });
}
