/**
 * How apiservers compact, each for itself and one at a time (k8s.io/apiserver etcd3/compact.go):
 * the version of one key is a clock that each tries to move on; who does compacts at the revision
 * of an interval ago, the others read how late it is.
 */
import type { Message } from "../support/grpc-js.ts";
import { type KubeStore, revisionOf } from "./store.ts";

export const COMPACT_KEY = "compact_rev_key";

export class Compactor {
  readonly #store: KubeStore;
  #time = 0;
  #revision = 0;
  /** Revisions that this one compacted at. */
  readonly compactedAt: number[] = [];

  constructor(store: KubeStore) {
    this.#store = store;
  }

  /** What happens once an interval; whether this one moved the clock. */
  async step(): Promise<boolean> {
    const key = Buffer.from(COMPACT_KEY);
    const value = Buffer.from(String(this.#revision));
    const answer: Message = await this.#store.client.unary("etcdserverpb.KV/Txn", {
      compare: [{ result: "EQUAL", target: "VERSION", key, version: this.#time }],
      success: [{ requestPut: { key, value } }],
      failure: [{ requestRange: { key } }],
    });
    const revision = this.#revision;
    this.#revision = revisionOf(answer);
    if (!answer.succeeded) {
      this.#time = Number(answer.responses[0]?.responseRange?.kvs[0]?.version);
      return false;
    }
    this.#time++;
    if (revision === 0) return true; // it has just begun, and knows no interval ago
    await this.#store.client.unary("etcdserverpb.KV/Compact", { revision });
    this.compactedAt.push(revision);
    return true;
  }
}
