/**
 * What kube-apiserver asks of etcd, request by request (k8s.io/apiserver pkg/storage/etcd3,
 * etcd client/v3/kubernetes): objects are changed by transactions on their mod revision only, and
 * listed in pages of one revision. An answer that kube-apiserver would not understand throws here.
 */
import { GrpcJsClient, type KeyValue, type Message } from "../support/grpc-js.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

/** A list that is not over: its revision, and where it goes on. */
export interface Continuation {
  readonly revision: number;
  readonly key: string;
}

export interface Page {
  readonly revision: number;
  readonly kvs: readonly KeyValue[];
  /** Of keys from the page's first on. */
  readonly count: number;
  readonly next: Continuation | undefined;
}

/** What a conditional change came to: done at a revision, or what stands there instead. */
export type Change =
  | { readonly done: true; readonly revision: number }
  | { readonly done: false; readonly current: KeyValue | undefined };

export class KubeStore implements Disposable {
  readonly client: GrpcJsClient;

  /** `endpoint` is host:port. */
  constructor(endpoint: string) {
    this.client = new GrpcJsClient(endpoint);
  }

  [Symbol.dispose](): void {
    this.client.close();
  }

  /** Creates an object that must not exist; there is nothing to read if it does. */
  async create(key: string, value: string, lease = "0"): Promise<Change> {
    const answer = await this.#txn({
      compare: [modIs(key, 0)],
      success: [{ requestPut: { key: bytes(key), value: bytes(value), lease } }],
    });
    if (!answer.succeeded) {
      if (answer.responses.length !== 0) throw new Error("a failure without operations has none");
      return { done: false, current: undefined };
    }
    return done(answer, "responsePut");
  }

  async update(key: string, value: string, expected: number): Promise<Change> {
    return await this.#change(key, expected, "responsePut", {
      requestPut: { key: bytes(key), value: bytes(value) },
    });
  }

  async delete(key: string, expected: number): Promise<Change> {
    return await this.#change(key, expected, "responseDeleteRange", {
      requestDeleteRange: { key: bytes(key) },
    });
  }

  async get(key: string, revision = 0): Promise<KeyValue | undefined> {
    const answer = await this.#range({ key: bytes(key), revision, limit: 1 });
    return answer.kvs[0];
  }

  /** The revision that a list of `prefix` made now would have at least. */
  async currentRevision(prefix: string): Promise<number> {
    const revision = revisionOf(await this.#range({ key: bytes(prefix) }));
    if (revision === 0) throw new Error("the store has no revision");
    return revision;
  }

  /** One page; the first one has the newest revision, those that continue it, the same. */
  async page(prefix: string, limit: number, from?: Continuation): Promise<Page> {
    const answer = await this.#range({
      ...{ key: bytes(from?.key ?? prefix), rangeEnd: bytes(endOf(prefix)), limit },
      revision: from?.revision ?? 0,
    });
    const revision = from?.revision ?? revisionOf(answer);
    const last = answer.kvs.at(-1);
    const count = Number(answer.count);
    const hasMore = count > answer.kvs.length && last !== undefined;
    if (hasMore !== answer.more) throw new Error("count and more contradict each other");
    const next = hasMore ? { revision, key: `${last.key.toString("latin1")}\0` } : undefined;
    return { revision, kvs: answer.kvs, count, next };
  }

  /** A whole list by RangeStream; the header comes with the last chunk, or before. */
  async stream(prefix: string): Promise<Omit<Page, "next">> {
    const request = { key: bytes(prefix), rangeEnd: bytes(endOf(prefix)) };
    const inbox = this.client.download("etcdserverpb.KV/RangeStream", request);
    await inbox.until("the end of the list", () => inbox.ended);
    const kvs: KeyValue[] = [];
    let [revision, count] = [0, 0];
    for (const { rangeResponse } of inbox.messages) {
      kvs.push(...rangeResponse.kvs);
      revision ||= revisionOf(rangeResponse);
      count ||= Number(rangeResponse.count);
    }
    if (revision === 0) throw new Error("no chunk has a revision");
    return { revision, kvs, count };
  }

  async count(prefix: string): Promise<number> {
    const request = { key: bytes(prefix), rangeEnd: bytes(endOf(prefix)), countOnly: true };
    const { kvs, count } = await this.#range(request);
    if (kvs.length > 0) throw new Error("a count has no keys");
    return Number(count);
  }

  async keys(prefix: string): Promise<readonly KeyValue[]> {
    const request = { key: bytes(prefix), rangeEnd: bytes(endOf(prefix)), keysOnly: true };
    return (await this.#range(request)).kvs;
  }

  async #change(key: string, expected: number, kind: string, operation: object): Promise<Change> {
    const answer = await this.#txn({
      compare: [modIs(key, expected)],
      success: [operation],
      failure: [{ requestRange: { key: bytes(key) } }],
    });
    if (answer.succeeded) return done(answer, kind);
    const read = answer.responses[0]?.responseRange;
    if (read === undefined || read === null) throw new Error("a conflict says what stands there");
    return { done: false, current: read.kvs[0] };
  }

  #txn(request: object): Promise<Message> {
    return this.client.unary("etcdserverpb.KV/Txn", request);
  }

  #range(request: object): Promise<Message> {
    return this.client.unary("etcdserverpb.KV/Range", request);
  }
}

/** The revision of a transaction: outside (as of 1.33 or so) and inside (before) the same. */
function done(answer: Message, kind: string): Change {
  const revision = revisionOf(answer);
  const inner = answer.responses[0]?.[kind];
  if (inner === undefined || inner === null || revisionOf(inner) !== revision) {
    throw new Error(`the ${kind} of a transaction has another revision than ${revision}`);
  }
  return { done: true, revision };
}

function modIs(key: string, modRevision: number): object {
  return { result: "EQUAL", target: "MOD", key: bytes(key), modRevision };
}

/** 0 for an answer without a header, as a chunk of a stream is. */
export function revisionOf({ header }: { header: Message["header"] | null }): number {
  return Number(header?.revision ?? 0);
}

/** The end of a prefix without a last byte of 0xff, as all of Kubernetes'. */
export function endOf(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return prefix.slice(0, -1) + String.fromCharCode(last + 1);
}
