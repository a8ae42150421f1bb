/** Seeded requests of a simulated client, in the proportions of etcd's robustness traffic. */
import type { Prng } from "../../src/base/prng.ts";
import type { Answer, Compare, Operation, PutRequest, Request } from "./requests.ts";

/** "single": one key each, no leases, so that the parts of a history are independent. */
export type Mix = "whole" | "single";

/** Seconds, of a clock on which a request takes some milliseconds. */
const TTL_SECONDS = [0.05, 0.1, 0.3];

export class RequestMix {
  readonly keys: readonly string[];
  readonly #prng: Prng;
  readonly #mix: Mix;
  readonly #leases: string[] = [];
  #leaseCount = 0;
  #valueCount = 0;
  /** What clients last saw of each key, to compare with. */
  readonly #seen = new Map<string, number>();

  constructor(prng: Prng, keys: number, mix: Mix) {
    this.#prng = prng;
    this.#mix = mix;
    this.keys = Array.from({ length: keys }, (_, index) => `k${index}`);
  }

  everything(): Request {
    if (this.#mix === "single") return { kind: "range", key: this.#key() };
    return { kind: "range", key: "k", end: "l" };
  }

  next(revision: number): Request {
    const roll = this.#prng.below(100);
    if (this.#mix === "single") return this.#single(roll);
    if (roll < 22) return this.#put();
    if (roll < 38) return { kind: "range", key: this.#key() };
    if (roll < 48) return this.#txn();
    if (roll < 55) return { kind: "range", key: this.#key(), serializable: true };
    if (roll < 60) return { kind: "range", key: "k", end: "l", serializable: true };
    if (roll < 66) return this.#delete();
    if (roll < 72) return this.#putLeased();
    if (roll < 75) return { kind: "revoke", id: this.#lease() };
    if (roll < 77) return { kind: "renew", id: this.#lease() };
    if (roll < 83) return this.#swap();
    if (roll < 91) return { kind: "range", key: this.#key(), end: "l", limit: this.#prng.below(4) };
    if (roll < 96) return this.#past(revision);
    if (roll < 99) return this.#grant();
    return { kind: "compact", revision: Math.max(revision + 2 - this.#prng.below(20), 1) };
  }

  /** What an answer teaches for further requests. */
  saw(request: Request, answer: Answer): void {
    if (answer.kind === "grant") this.#leases.push(answer.id);
    if (answer.kind === "put" && request.kind === "put") {
      this.#seen.set(request.key, answer.revision ?? 0);
    }
    for (const kv of answer.kind === "range" ? (answer.kvs ?? []) : []) {
      this.#seen.set(kv.key, kv.modRevision ?? 0);
    }
  }

  #single(roll: number): Request {
    if (roll < 35) return this.#put();
    if (roll < 80) return { kind: "range", key: this.#key() };
    if (roll < 88) return { kind: "delete", key: this.#key() };
    const key = this.#key();
    const value = `v${Math.max(this.#valueCount - this.#prng.below(8), 0)}`;
    const compare: Compare[] = [{ target: "value", result: "=", key, value }];
    const success: Operation[] = [{ kind: "put", key, value: this.#value() }];
    return { kind: "txn", compare, success, failure: [{ kind: "range", key }] };
  }

  #key(): string {
    return this.#prng.pick(this.keys);
  }

  #value(): string {
    return `v${this.#valueCount++}`;
  }

  #put(): PutRequest {
    return { kind: "put", key: this.#key(), value: this.#value(), prevKv: this.#prng.chance(40) };
  }

  #putLeased(): Request {
    return { ...this.#put(), lease: this.#lease() };
  }

  #lease(): string {
    return this.#prng.pick(this.#leases.length === 0 ? ["7"] : this.#leases.slice(-6));
  }

  /** Now and then under an id that was used before, maybe without an answer. */
  #grant(): Request {
    const isOld = this.#leaseCount > 0 && this.#prng.chance(5);
    const id = isOld ? 1 + this.#prng.below(this.#leaseCount) : ++this.#leaseCount;
    return { kind: "grant", id: `${id}`, ttlSeconds: this.#prng.pick(TTL_SECONDS) };
  }

  #delete(): Request {
    const [key, prevKv] = [this.#key(), this.#prng.chance(40)];
    if (this.#prng.chance(80)) return { kind: "delete", key, prevKv };
    return { kind: "delete", key, end: `${key}~`, prevKv };
  }

  #past(revision: number): Request {
    const at = Math.max(revision + 1 - this.#prng.below(25), 1);
    return { kind: "range", key: this.#key(), end: "l", revision: at };
  }

  #compare(): Compare {
    const key = this.#key();
    const target = this.#prng.pick(["version", "create", "mod", "value"] as const);
    const result = this.#prng.pick(["=", "!=", "<", ">"] as const);
    if (target === "value") {
      return { target, result, key, value: `v${this.#prng.below(this.#valueCount + 1)}` };
    }
    const known = target === "version" ? this.#prng.below(5) : (this.#seen.get(key) ?? 0);
    return { target, result, key, number: this.#prng.chance(30) ? 0 : known };
  }

  #txn(): Request {
    const compare = Array.from({ length: this.#prng.below(3) }, () => this.#compare());
    return { kind: "txn", compare, success: this.#operations(), failure: this.#operations() };
  }

  /** Each key once: two writes of one would be refused. */
  #operations(): Operation[] {
    const start = this.#prng.below(this.keys.length);
    const length = Math.min(this.#prng.below(4), this.keys.length);
    return Array.from({ length }, (_, index): Operation => {
      const key = this.keys[(start + index) % this.keys.length] as string;
      const roll = this.#prng.below(10);
      if (roll < 6)
        return { kind: "put", key, value: this.#value(), prevKv: this.#prng.chance(30) };
      if (roll < 7) return { kind: "delete", key };
      return { kind: "range", key };
    });
  }

  /** Compare and swap on what was seen. */
  #swap(): Request {
    const key = this.#key();
    const number = this.#seen.get(key) ?? 0;
    const compare: Compare[] = [{ target: "mod", result: "=", key, number }];
    const success: Operation[] = [{ kind: "put", key, value: this.#value() }];
    return { kind: "txn", compare, success, failure: [{ kind: "range", key }] };
  }
}
