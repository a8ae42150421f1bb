/**
 * The whole store with all its revisions, as the checker imagines it. Every change is noted on a
 * trail and can be taken back, because a search tries orders and gives them up again; so nothing
 * is copied, and an attempt costs what it changed.
 */
import { assert } from "../../src/base/assert.ts";
import type { KeyValue } from "./requests.ts";

/** A change of one key. `kv` of a deletion holds key and mod_revision, version 0. */
export interface Change {
  readonly kv: KeyValue;
  readonly before: KeyValue | undefined;
}

/** What makes two stores different for what is still to be checked. */
export type Identity =
  | "values" // nothing in the history shows a revision
  | "revisions"
  | "past"; // older versions too: something reads at a past revision

type Undo = Toggle &
  (
    | { readonly kind: "version"; readonly key: number }
    | { readonly kind: "revision" }
    | { readonly kind: "compact"; readonly before: number }
    | { readonly kind: "lease"; readonly id: string }
  );

/** What a change does to the fingerprint, and taking it back does again. */
interface Toggle {
  readonly a: number;
  readonly b: number;
}

export class Store {
  /** Every key that may ever be written, in order. */
  readonly #keys: readonly string[];
  readonly #indexOf = new Map<string, number>();
  /** Versions of each key, oldest first. */
  readonly #versions: KeyValue[][];
  readonly #leases = new Set<string>();
  readonly #trail: Undo[] = [];
  readonly #identity: Identity;
  #a = 0;
  #b = 0;
  #revision = 1;
  #compactRevision = -1;
  /** Whether something was written since the last commit. */
  #isWriting = false;

  constructor(keys: Iterable<string>, identity: Identity) {
    this.#identity = identity;
    this.#keys = [...new Set(keys)].sort();
    for (const [index, key] of this.#keys.entries()) this.#indexOf.set(key, index);
    this.#versions = this.#keys.map(() => []);
  }

  get revision(): number {
    return this.#revision;
  }

  get compactRevision(): number {
    return this.#compactRevision;
  }

  /** Two numbers of 32 bits, equal for equal stores, between requests. */
  get fingerprint(): readonly [number, number] {
    return [this.#a, this.#b];
  }

  /** What a read sees that runs now, inside a transaction too. */
  get visible(): number {
    return this.#isWriting ? this.#revision + 1 : this.#revision;
  }

  /** A place to which undo() returns. */
  get mark(): number {
    return this.#trail.length;
  }

  hasLease(id: string): boolean {
    return this.#leases.has(id);
  }

  /** The key value now; undefined if the key is not there. */
  get(key: string): KeyValue | undefined {
    const index = this.#indexOf.get(key);
    if (index === undefined) return undefined;
    const last = this.#versions[index]?.at(-1);
    return last === undefined || last.version === 0 ? undefined : last;
  }

  /** Live keys of [start, end) at `revision`, in order. */
  range(start: string, end: string | undefined, revision: number): KeyValue[] {
    if (end === undefined || end === "") {
      const index = this.#indexOf.get(start);
      const found = index === undefined ? undefined : this.#at(index, revision);
      return found === undefined ? [] : [found];
    }
    const found: KeyValue[] = [];
    for (let index = this.#from(start); index < this.#keys.length; index++) {
      if (end !== "\0" && (this.#keys[index] as string) >= end) break;
      const kv = this.#at(index, revision);
      if (kv !== undefined) found.push(kv);
    }
    return found;
  }

  keysOf(lease: string): string[] {
    return this.#keys.filter((key) => this.get(key)?.lease === lease);
  }

  put(key: string, value: string, lease: string): void {
    const before = this.get(key);
    const modRevision = this.#revision + 1;
    const createRevision = before?.createRevision ?? modRevision;
    const version = (before?.version ?? 0) + 1;
    this.#push({ key, value, createRevision, modRevision, version, lease });
  }

  delete(key: string): void {
    const modRevision = this.#revision + 1;
    this.#push({ key, value: "", createRevision: 0, modRevision, version: 0, lease: "0" });
  }

  /** Ends a request; what it wrote becomes one revision. */
  commit(): void {
    if (!this.#isWriting) return;
    this.#isWriting = false;
    this.#revision++;
    const toggle = this.#identity === "values" ? NO_TOGGLE : toggleOf(`@${this.#revision}`);
    this.#note({ kind: "revision", ...toggle });
  }

  grant(id: string): void {
    assert(!this.#leases.has(id), "granted once");
    this.#leases.add(id);
    this.#note({ kind: "lease", id, ...toggleOf(`lease ${id}`) });
  }

  /** Deletes the lease's keys and the lease. */
  endLease(id: string): void {
    for (const key of this.keysOf(id)) this.delete(key);
    assert(this.#leases.delete(id), "only a lease that is there ends");
    this.#note({ kind: "lease", id, ...toggleOf(`lease ${id}`) });
  }

  compact(revision: number): void {
    const toggle = toggleOf(`compact ${this.#compactRevision} ${revision}`);
    this.#note({ kind: "compact", before: this.#compactRevision, ...toggle });
    this.#compactRevision = revision;
  }

  /** Takes back what was done since `mark`, which lies between requests. */
  undo(mark: number): void {
    while (this.#trail.length > mark) {
      const undo = this.#trail.pop() as Undo;
      this.#a ^= undo.a;
      this.#b ^= undo.b;
      if (undo.kind === "revision") this.#revision--;
      else if (undo.kind === "version") this.#versions[undo.key]?.pop();
      else if (undo.kind === "compact") this.#compactRevision = undo.before;
      else if (!this.#leases.delete(undo.id)) this.#leases.add(undo.id);
    }
    this.#isWriting = false;
  }

  /** What was written since `mark`, in the order of writing. */
  changesSince(mark: number): Change[] {
    const changes: Change[] = [];
    const taken = new Map<number, number>();
    for (let at = this.#trail.length - 1; at >= mark; at--) {
      const undo = this.#trail[at] as Undo;
      if (undo.kind !== "version") continue;
      const versions = this.#versions[undo.key] as KeyValue[];
      const depth = taken.get(undo.key) ?? 1;
      taken.set(undo.key, depth + 1);
      const before = versions.at(-depth - 1);
      const isThere = before !== undefined && before.version > 0;
      changes.push({ kv: versions.at(-depth) as KeyValue, before: isThere ? before : undefined });
    }
    return changes.reverse();
  }

  #push(kv: KeyValue): void {
    const key = this.#indexOf.get(kv.key);
    assert(key !== undefined, "the store knows every key that is written");
    const versions = this.#versions[key] as KeyValue[];
    const { a, b } = this.#toggleFor(kv);
    const old = this.#identity === "past" ? NO_TOGGLE : this.#toggleFor(versions.at(-1));
    versions.push(kv);
    this.#note({ kind: "version", key, a: a ^ old.a, b: b ^ old.b });
    this.#isWriting = true;
  }

  #note(undo: Undo): void {
    this.#a ^= undo.a;
    this.#b ^= undo.b;
    this.#trail.push(undo);
  }

  #toggleFor(kv: KeyValue | undefined): Toggle {
    if (kv === undefined) return NO_TOGGLE;
    const { key, value, lease, version, createRevision, modRevision } = kv;
    const isGone = version === 0;
    if (isGone && this.#identity !== "past") return NO_TOGGLE;
    const text = `${key}\x1f${value}\x1f${lease}`;
    if (this.#identity === "values") return toggleOf(text);
    return toggleOf(`${text}\x1f${version} ${createRevision} ${modRevision}`);
  }

  #at(key: number, revision: number): KeyValue | undefined {
    const versions = this.#versions[key] as KeyValue[];
    for (let at = versions.length - 1; at >= 0; at--) {
      const kv = versions[at] as KeyValue;
      if (kv.modRevision <= revision) return kv.version === 0 ? undefined : kv;
    }
    return undefined;
  }

  /** The first index whose key is not below `start`. */
  #from(start: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#keys[middle] as string) < start) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const NO_TOGGLE: Toggle = { a: 0, b: 0 };

function toggleOf(text: string): Toggle {
  return { a: Bun.hash.xxHash32(text, 1), b: Bun.hash.xxHash32(text, 2) };
}
