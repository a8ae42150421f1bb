/**
 * Whether a request without an answer can be what made a revision, by all that is known of the
 * revision and of the keys before and after it. It errs on the side of "yes".
 */
import type { Evidence } from "./evidence.ts";
import type { LeaseEvidence } from "./lease-evidence.ts";
import type { May } from "./problem.ts";
import {
  type Compare,
  compareHolds,
  isInRange,
  leasedPutsOf,
  type Operation,
  operationsOf,
  type SeenKeyValue,
} from "./requests.ts";

/**
 * Those that may have made `revision`, the likeliest first; to be asked for ascending revisions,
 * each once.
 */
export function makersOf(revision: number, mays: readonly May[], evidence: Evidence): May[] {
  const possibility = new Possibility(revision, evidence);
  const makers = mays.filter((may) => possibility.mayBe(may));
  for (const { request } of makers) {
    for (const { key, lease } of leasedPutsOf(request)) {
      evidence.lease(lease).mayHaveBound(key, revision);
    }
  }
  const time = evidence.notBefore(revision);
  return makers.sort((a, b) => Math.abs(a.likely - time) - Math.abs(b.likely - time));
}

class Possibility {
  readonly #revision: number;
  readonly #evidence: Evidence;
  readonly #seenAt: number;
  readonly #notBefore: number;
  /** Keys that are known to have been written. */
  readonly #known: ReadonlySet<string>;

  constructor(revision: number, evidence: Evidence) {
    this.#revision = revision;
    this.#evidence = evidence;
    this.#seenAt = evidence.firstSeen(revision).at;
    this.#notBefore = evidence.notBefore(revision);
    this.#known = evidence.keysAt(revision) ?? new Set();
  }

  mayBe({ called, request }: May): boolean {
    if (called > this.#seenAt) return false;
    if (request.kind === "revoke")
      return this.#mayBeEndOf(this.#evidence.lease(request.id), request.id);
    if (request.kind !== "txn") return this.#mayRun(operationsOf(request));
    const holds = request.compare.map((compare) => this.#holds(compare));
    const maySucceed = !holds.includes(false);
    const mayFail = holds.some((one) => one !== true);
    return (
      (maySucceed && this.#mayRun(request.success)) || (mayFail && this.#mayRun(request.failure))
    );
  }

  /** Every put changes its key; what is known to have changed must be among the changes. */
  #mayRun(operations: readonly Operation[]): boolean {
    const revision = this.#revision;
    for (const key of this.#known) {
      const facts = this.#evidence.key(key).factsAt(revision);
      if (!facts.every(({ kv }) => operations.some((one) => mayWrite(one, kv)))) return false;
    }
    const isWhole = this.#evidence.isWhole(revision);
    let changes = this.#known.size > 0;
    for (const operation of operations) {
      const { key } = operation;
      if (operation.kind === "put") {
        if (!(isWhole ? this.#known.has(key) : this.#evidence.key(key).mayBePut(revision))) {
          return false;
        }
        const { lease = "0" } = operation;
        if (lease !== "0" && !this.#evidence.lease(lease).mayLiveAt(this.#notBefore)) return false;
        changes = true;
      } else if (operation.kind === "delete") {
        const keys = this.#evidence.keysIn(key, operation.end);
        changes ||= keys.some((one) => this.#mayGo(one));
      }
    }
    return changes;
  }

  #mayGo(key: string): boolean {
    const evidence = this.#evidence.key(key);
    return !evidence.isQuiet(this.#revision) && evidence.stateAt(this.#revision - 1) !== null;
  }

  /** The end of a lease deletes all its keys. */
  #mayBeEndOf(lease: LeaseEvidence, id: string): boolean {
    const revision = this.#revision;
    if (!lease.mayEnd(revision - 1) || !lease.mayLiveAt(this.#notBefore)) return false;
    for (const key of this.#known) {
      const facts = this.#evidence.key(key).factsAt(revision);
      if (!lease.keys.has(key) || facts.some(({ kv }) => kv.version !== 0)) return false;
    }
    let changes = false;
    for (const key of lease.keys) {
      const evidence = this.#evidence.key(key);
      const before = evidence.stateAt(revision - 1);
      if (before === null || evidence.isQuiet(revision)) continue;
      const last = before ?? evidence.lastBefore(revision);
      const isUnseen = lease.lastBoundUnseen(key) > (last?.modRevision ?? 0);
      changes ||= (before === undefined && isUnseen) || (last?.lease ?? (last && id)) === id;
    }
    return changes;
  }

  #holds(compare: Compare): boolean | undefined {
    const { key, target, result, number = 0 } = compare;
    const evidence = this.#evidence.key(key);
    const kv = evidence.stateAt(this.#revision - 1);
    if (kv !== undefined) return compareHolds(compare, kv ?? undefined);
    if (target !== "mod" || result !== "=" || number === 0) return undefined;
    const last = evidence.lastBefore(this.#revision)?.modRevision ?? 0;
    const isOver = number < last || (number > last && this.#evidence.writersOf(number).length > 0);
    return isOver || evidence.isQuiet(number) ? false : undefined;
  }
}

function mayWrite(operation: Operation, kv: SeenKeyValue): boolean {
  if (operation.kind === "range") return false;
  if (kv.version === 0) {
    return operation.kind === "delete" && isInRange(kv.key, operation.key, operation.end);
  }
  if (operation.kind !== "put" || operation.key !== kv.key) return false;
  const { value, lease = "0" } = operation;
  return (kv.value ?? value) === value && (kv.lease ?? lease) === lease;
}
