/** Requests by chance, each with what it demands of the one who makes it. */
import type { Prng } from "../../src/base/prng.ts";
import { ALL_KEYS, type Key, type KeyRange, keysOf, markedValue, type Right } from "./filter.ts";

export interface Demand extends KeyRange {
  readonly right: Right;
}

export interface Asked {
  /** Of etcd's family, and of ours if it has the same. */
  readonly etcd: string;
  readonly native: string | undefined;
  /** Path of the JSON gateway, if that has it. */
  readonly json: string | undefined;
  readonly request: object;
  readonly demands: readonly Demand[];
  readonly changes: boolean;
}

interface Part {
  readonly request: object;
  readonly demands: readonly Demand[];
}

const bytes = (key: Key): Buffer => Buffer.from(key, "latin1");

export class Requests {
  readonly #prng: Prng;
  /** Past revisions may be asked for up to this one. */
  revision = 1;
  /** What the one who asks was granted: most requests are about that, else few were served. */
  home: readonly KeyRange[] = [];
  /** Leases that exist, and the keys which hang on them. */
  leases: ReadonlyMap<string, readonly Key[]> = new Map();

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  next(): Asked {
    const dice = this.#prng.below(100);
    if (dice < 30) return { ...this.#range(), ...KINDS.range };
    if (dice < 35) return { ...this.#single(), ...KINDS.get };
    if (dice < 40) return { ...this.#range(), ...KINDS.rangeStream };
    if (dice < 60) return { ...this.#put(), ...KINDS.put };
    if (dice < 70) return { ...this.#delete(), ...KINDS.delete };
    if (dice < 92) return { ...this.#txn(2), ...KINDS.txn };
    return this.#lease(dice);
  }

  /** A key and an end: single keys, ends after and before it, no end, everything. */
  range(): KeyRange {
    const granted = this.#prng.chance(40) ? this.#grantedRange() : undefined;
    if (granted !== undefined) return granted;
    const key = this.key();
    const dice = this.#prng.below(100);
    if (dice < 45) return { key, rangeEnd: "" };
    if (dice < 52) return { key, rangeEnd: "\0" };
    if (dice < 55) return { key: "\0", rangeEnd: "\0" };
    if (dice < 70) return { key, rangeEnd: `${key}\xff` };
    return { key, rangeEnd: this.key() };
  }

  key(): Key {
    const keys = this.#prng.chance(85) ? keysOf(this.#anyHome()) : ALL_KEYS;
    return this.#pick(keys) ?? "a";
  }

  #anyHome(): KeyRange {
    return this.#pick(this.home) ?? { key: "\0", rangeEnd: "\0" };
  }

  /** A range that was granted, or a part of it. */
  #grantedRange(): KeyRange | undefined {
    const granted = this.#anyHome();
    const key = this.#pick(keysOf(granted));
    return this.#prng.chance(50) || key === undefined ? granted : { ...granted, key };
  }

  #range(): Part {
    const range = this.range();
    const prng = this.#prng;
    const request = {
      ...wire(range),
      ...(prng.chance(20) ? { limit: 1 + prng.below(5) } : {}),
      ...(prng.chance(20) ? { revision: 1 + prng.below(this.revision) } : {}),
      ...(prng.chance(15) ? { keysOnly: true } : prng.chance(15) ? { countOnly: true } : {}),
      ...(prng.chance(20) ? { serializable: true } : {}),
    };
    return { request, demands: [{ ...range, right: "READ" }] };
  }

  #single(): Part {
    const key = this.key();
    return { request: { key: bytes(key) }, demands: [{ key, rangeEnd: "", right: "READ" }] };
  }

  #put(): Part {
    const key = this.key();
    const one = { key, rangeEnd: "" };
    const prevKv = this.#prng.chance(25);
    const lease = this.#prng.chance(25) ? this.#anyLease() : undefined;
    const demands: Demand[] = [{ ...one, right: "WRITE" }];
    if (prevKv) demands.push({ ...one, right: "READ" });
    if (lease !== undefined) demands.push(...this.#hangingOn(lease, "WRITE"));
    const request = { key: bytes(key), value: markedValue(key), prevKv, lease: lease ?? "0" };
    return { request, demands };
  }

  #delete(): Part {
    const range = this.range();
    const prevKv = this.#prng.chance(40);
    const demands: Demand[] = [{ ...range, right: "WRITE" }];
    if (prevKv) demands.push({ ...range, right: "READ" });
    return { request: { ...wire(range), prevKv }, demands };
  }

  #txn(depth: number): Part {
    const compare = this.#some(3, () => this.#compare());
    const success = this.#some(3, () => this.#operation(depth));
    const failure = this.#some(2, () => this.#operation(depth));
    const request = {
      compare: compare.map((part) => part.request),
      success: success.map((part) => part.request),
      failure: failure.map((part) => part.request),
    };
    return { request, demands: [...compare, ...success, ...failure].flatMap((p) => p.demands) };
  }

  /** Its outcome tells something of keys, so they must be readable. */
  #compare(): Part {
    const range = this.range();
    const target = this.#prng.chance(50)
      ? { target: "VALUE", value: markedValue(range.key) }
      : { target: "VERSION", version: "0" };
    const request = {
      ...wire(range),
      ...target,
      result: this.#prng.chance(50) ? "EQUAL" : "GREATER",
    };
    return { request, demands: [{ ...range, right: "READ" }] };
  }

  #operation(depth: number): Part {
    const named = (name: string, { request, demands }: Part): Part => {
      return { request: { [name]: request }, demands };
    };
    const dice = this.#prng.below(depth > 0 ? 100 : 80);
    if (dice < 35) return named("requestRange", this.#range());
    if (dice < 60) return named("requestPut", this.#put());
    if (dice < 80) return named("requestDeleteRange", this.#delete());
    return named("requestTxn", this.#txn(depth - 1));
  }

  #lease(dice: number): Asked {
    const id = this.#anyLease();
    if (dice < 96) {
      const demands = this.#hangingOn(id, "READ");
      return { request: { ID: id, keys: true }, demands, ...KINDS.timeToLive };
    }
    return { request: { ID: id }, demands: this.#hangingOn(id, "WRITE"), ...KINDS.revoke };
  }

  /** Sometimes one that is not there. */
  #anyLease(): string {
    const all = [...this.leases.keys()];
    return all[this.#prng.below(all.length + 1)] ?? "999";
  }

  #hangingOn(lease: string, right: Right): Demand[] {
    return (this.leases.get(lease) ?? []).map((key) => ({ key, rangeEnd: "", right }));
  }

  #pick<T>(all: readonly T[]): T | undefined {
    return all.length === 0 ? undefined : all[this.#prng.below(all.length)];
  }

  #some<T>(max: number, make: () => T): T[] {
    return Array.from({ length: this.#prng.below(max + 1) }, make);
  }
}

export function wire({ key, rangeEnd }: KeyRange): object {
  return { key: bytes(key), rangeEnd: bytes(rangeEnd) };
}

type Kind = Omit<Asked, "request" | "demands">;

function kind(
  etcd: string,
  native: string | undefined,
  json: string | undefined,
  changes: boolean,
): Kind {
  return { etcd: `etcdserverpb.${etcd}`, native: native && `aether.v1.${native}`, json, changes };
}

const KINDS = {
  range: kind("KV/Range", "AetherKV/Range", "/v3/kv/range", false),
  get: kind("KV/Range", "AetherKV/Get", "/v3/kv/range", false),
  rangeStream: kind("KV/RangeStream", undefined, undefined, false),
  put: kind("KV/Put", "AetherKV/Put", "/v3/kv/put", true),
  delete: kind("KV/DeleteRange", "AetherKV/Delete", "/v3/kv/deleterange", true),
  txn: kind("KV/Txn", "AetherKV/Txn", "/v3/kv/txn", true),
  timeToLive: kind(
    "Lease/LeaseTimeToLive",
    "AetherLease/LeaseTimeToLive",
    "/v3/lease/timetolive",
    false,
  ),
  revoke: kind("Lease/LeaseRevoke", "AetherLease/LeaseRevoke", "/v3/lease/revoke", true),
} as const;
