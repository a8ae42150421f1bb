/**
 * Draws the requests of one client: few keys, so that clients meet; values that nobody else
 * writes, so that what is found can be traced; revisions near the present, so that compactions and
 * reads of the past meet too.
 */
import type { Prng } from "../../src/base/prng.ts";
import type { Answer, Compare, Operation, Request } from "../check/requests.ts";
import type { LeaseBook } from "./leases.ts";
import {
  type ClientSettings,
  OPERATIONS,
  type OperationKind,
  type OperationWeights,
} from "./settings.ts";
import { between, weighted } from "./streams.ts";

/** The longest lease that is asked for. */
export const TTL_SECONDS_MAX = 4;

export class RequestMaker {
  readonly #random: Prng;
  readonly #settings: ClientSettings;
  readonly #leases: LeaseBook;
  readonly #kinds: readonly (readonly [number, OperationKind])[];
  /** The newest revision that an answer showed. */
  #revision = 1;
  #compacted = 0;

  constructor(
    random: Prng,
    settings: ClientSettings,
    weights: OperationWeights,
    leases: LeaseBook,
  ) {
    this.#random = random;
    this.#settings = settings;
    this.#leases = leases;
    this.#kinds = OPERATIONS.map((kind) => [weights[kind], kind] as const);
  }

  learn(answer: Answer): void {
    if (!("revision" in answer) || answer.revision === undefined) return;
    this.#revision = Math.max(this.#revision, answer.revision);
  }

  next(): Request {
    const kind = weighted(this.#random, this.#kinds);
    switch (kind) {
      case "put":
        return this.#put();
      case "get":
        return { kind: "range", key: this.#key() };
      case "stale-get":
        return { kind: "range", key: "k", end: "l", serializable: true };
      case "list":
        return { kind: "range", key: "k", end: "l", ...this.#maybe({ limit: 2 }) };
      case "old-list": {
        const revision = Math.max(1, this.#revision + 2 - this.#random.below(30));
        return { kind: "range", key: "k", end: "l", revision };
      }
      case "delete":
        return this.#delete();
      case "txn":
        return this.#txn();
      case "compact":
        this.#compacted = between(this.#random, this.#compacted, this.#revision + 5);
        return { kind: "compact", revision: Math.max(1, this.#compacted) };
      case "grant":
        return { kind: "grant", id: this.#leases.newId(), ttlSeconds: this.#ttl() };
      default:
        return this.#ofLease(kind);
    }
  }

  /** Without a lease to speak of, asks for one. */
  #ofLease(kind: "keep-alive" | "revoke" | "time-to-live"): Request {
    const id = this.#leases.someId(this.#random);
    if (id === undefined) {
      return { kind: "grant", id: this.#leases.newId(), ttlSeconds: this.#ttl() };
    }
    if (kind === "keep-alive") return { kind: "renew", id };
    return kind === "revoke" ? { kind: "revoke", id } : { kind: "life", id };
  }

  #ttl(): number {
    return between(this.#random, 1, TTL_SECONDS_MAX);
  }

  #key(): string {
    return `k${this.#random.below(this.#settings.keys)}`;
  }

  #put(key = this.#key()): Operation & { kind: "put" } {
    const lease = this.#random.chance(20) ? this.#leases.someId(this.#random) : undefined;
    const prevKv = this.#random.chance(30);
    const value = this.#leases.newValue();
    return { kind: "put", key, value, ...(lease === undefined ? {} : { lease }), prevKv };
  }

  #delete(): Operation & { kind: "delete" } {
    const prevKv = this.#random.chance(50);
    if (this.#random.chance(70)) return { kind: "delete", key: this.#key(), prevKv };
    return { kind: "delete", key: this.#key(), end: "l", prevKv };
  }

  #txn(): Request {
    const key = this.#key();
    const other = this.#key();
    const success: Operation[] = [this.#put(key)];
    if (other !== key) {
      if (this.#random.chance(50)) success.push({ kind: "delete", key: other, prevKv: true });
      else success.push({ kind: "range", key: other });
    }
    const failure: Operation[] = [{ kind: "range", key: "k", end: "l" }];
    return { kind: "txn", compare: [this.#compare(key)], success, failure };
  }

  #compare(key: string): Compare {
    const { below, pick } = { below: this.#random.below.bind(this.#random), pick: this.#random };
    const result = pick.pick(["=", "!=", "<", ">"] as const);
    if (below(2) === 0) return { target: "version", result, key, number: below(3) };
    const number = Math.max(0, this.#revision - below(6));
    return { target: below(2) === 0 ? "mod" : "create", result, key, number };
  }

  #maybe<T extends object>(more: T): T | Record<string, never> {
    return this.#random.chance(30) ? more : {};
  }
}
