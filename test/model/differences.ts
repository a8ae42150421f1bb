/**
 * What two right servers may answer differently: the one table. Everything else must be equal,
 * field by field. Each row says why; rows of 3.4 are rules that changed between etcd 3.4.23, the
 * oracle at hand, and 3.7, whose rules are ours.
 */
import type { Answer, Plain } from "./endpoint.ts";
import { SHORT_LEASES_FROM } from "./generator.ts";
import type { OpBody, RangeBody, TxnBody, UnaryRequest } from "./requests.ts";

type Body = { [name: string]: Plain };

interface Difference {
  readonly what: string;
  readonly why: string;
  /** Makes the difference invisible in an answer's body, which is the caller's own copy. */
  hide(request: UnaryRequest, body: Body): void;
}

export const DIFFERENCES: readonly Difference[] = [
  {
    what: "cluster_id, member_id and raft_term of headers",
    why: "names of the server, not of its state",
    hide: (_request, body) => stripHeaders(body),
  },
  {
    what: "remaining TTL of a lease",
    why: "counts down; only whether there is one is compared",
    hide: (request, body) => {
      if (request.rpc === "LeaseTimeToLive") body.TTL = Number(body.TTL) < 0 ? "none" : "some";
    },
  },
  {
    what: "order of the keys of a lease, order of leases",
    why: "keys come from a set; leases are ordered by time left",
    hide: (request, body) => {
      if (request.rpc === "LeaseTimeToLive") body.keys = sorted(body.keys);
      if (request.rpc === "LeaseLeases") body.leases = sorted(longLived(body.leases));
    },
  },
  {
    what: "3.4: keys_only shows the lease",
    why: "since 3.7 keys_only is served from the index, so lease is 0, unless sorted by value",
    hide: (request, body) => {
      if (request.rpc === "Range") hideKeysOnlyLease(request.body, body);
      if (request.rpc === "Txn") hideInTxn(request.body, body);
    },
  },
];

/**
 * 3.4: a tombstone exactly at the compaction is removed, at once or a little later; since 3.4.34
 * and 3.5.16 it is kept, so that a watch opened there sees the delete. Either is accepted of a
 * watcher that starts exactly at the compaction.
 */
export function isOptionalEvent(
  event: { isDelete: boolean; modRevision: number },
  compactRevision: number,
): boolean {
  return event.isDelete && event.modRevision === compactRevision;
}

/** What an operation inside a transaction is refused with, against the state before it. */
const CHECKS = [
  "etcdserver: requested lease not found",
  "etcdserver: key not found",
  "etcdserver: mvcc: required revision has been compacted",
  "etcdserver: mvcc: required revision is a future revision",
];

/**
 * 3.4 checks all puts of a transaction and then all ranges, 3.7 both in one walk: a transaction
 * with a bad one of each is refused for either.
 */
function refusalOf(request: UnaryRequest, answer: Answer): Answer {
  const { message } = answer;
  if (request.rpc !== "Txn" || !CHECKS.includes(message)) return answer;
  const { puts, ranges } = checkedOps(request.body);
  return puts && ranges ? { ...answer, code: -1, message: "a check of put or range" } : answer;
}

/** Whether some put and some range of a transaction can fail their checks. */
function checkedOps({ success, failure }: TxnBody): { puts: boolean; ranges: boolean } {
  const found = { puts: false, ranges: false };
  for (const { requestPut, requestRange, requestTxn } of [...success, ...failure]) {
    if (requestRange !== undefined) found.ranges ||= requestRange.revision !== 0;
    if (requestPut !== undefined) {
      const { lease, ignoreLease, ignoreValue } = requestPut;
      found.puts ||= lease !== 0 || ignoreLease || ignoreValue;
    }
    if (requestTxn !== undefined) {
      const inner = checkedOps(requestTxn);
      found.puts ||= inner.puts;
      found.ranges ||= inner.ranges;
    }
  }
  return found;
}

/** The answer with everything hidden that may differ. */
export function comparable(request: UnaryRequest, answer: Answer): Answer {
  if (answer.code !== 0) return refusalOf(request, answer);
  const body = structuredClone(answer.body) as Body;
  for (const difference of DIFFERENCES) difference.hide(request, body);
  return { ...answer, body };
}

/** Paths at which two values differ, with both values; at most ten. */
export function differencesOf(a: Plain | object, b: Plain | object, path = ""): string[] {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) {
    return a === b ? [] : [`${path}: ${JSON.stringify(a)} | ${JSON.stringify(b)}`];
  }
  const found: string[] = [];
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const name of names) {
    const left = (a as Body)[name] ?? null;
    const right = (b as Body)[name] ?? null;
    found.push(...differencesOf(left, right, path === "" ? name : `${path}.${name}`));
  }
  return found.slice(0, 10);
}

export function stripHeaders(value: Plain): void {
  if (Array.isArray(value)) for (const one of value) stripHeaders(one);
  else if (value !== null && typeof value === "object") {
    for (const [name, one] of Object.entries(value)) {
      if (name === "header" && one !== null) value[name] = revisionOnly(one);
      else stripHeaders(one);
    }
  }
}

function revisionOnly(header: Plain): Plain {
  return { revision: (header as Body).revision ?? "0" };
}

function sorted(list: Plain | undefined): Plain[] {
  const text = (one: Plain): string => JSON.stringify(one);
  return [...((list ?? []) as Plain[])].sort((a, b) => (text(a) < text(b) ? -1 : 1));
}

function longLived(leases: Plain | undefined): Plain[] {
  return ((leases ?? []) as Body[]).filter((lease) => Number(lease.ID) < SHORT_LEASES_FROM);
}

/** SortTarget VALUE. */
const BY_VALUE = 4;

function hideKeysOnlyLease(request: RangeBody, body: Body): void {
  if (!request.keysOnly || request.sortTarget === BY_VALUE) return;
  for (const kv of (body.kvs ?? []) as Body[]) kv.lease = "0";
}

function hideInTxn(request: TxnBody, body: Body): void {
  const ops = body.succeeded === true ? request.success : request.failure;
  const responses = (body.responses ?? []) as Body[];
  ops.forEach((op: OpBody, index) => {
    const response = responses[index];
    if (response === undefined) return;
    if (op.requestRange !== undefined && response.responseRange != null) {
      hideKeysOnlyLease(op.requestRange, response.responseRange as Body);
    }
    if (op.requestTxn !== undefined && response.responseTxn != null) {
      hideInTxn(op.requestTxn, response.responseTxn as Body);
    }
  });
}
