/**
 * What two right servers may answer differently: the one table. Everything else must be equal,
 * field by field, presence of defaults, metadata and all. Each row says why, and for which etcd.
 */
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { SHORT_LEASES_FROM } from "./generate/leases.ts";
import type { Answer } from "./raw-client.ts";
import type { Tree, TreeMessage } from "./schema.ts";
import type { Call } from "./steps.ts";

/** A request as one side was sent it. */
export interface SentCall extends Omit<Call, "bodies"> {
  readonly bodies: readonly TreeMessage[];
}

/** Where the store was when a request was sent. */
export interface Point {
  readonly revision: number;
  readonly compactRevision: number;
}

/** An answer of one's own, to be changed. */
export interface Comparable {
  code: number;
  text: string;
  messages: TreeMessage[];
  headers: { [name: string]: Tree };
  trailers: { [name: string]: Tree };
}

export interface Difference {
  readonly what: string;
  readonly why: string;
  /** The etcd it is seen with. */
  readonly etcd: "3.4" | "3.7" | "both";
  /** RPCs it concerns; left out: all. */
  readonly rpcs?: readonly string[];
  /** Makes the difference invisible; it is told the other side's outcome too. */
  hide(request: SentCall, answer: Comparable, point: Point): void;
}

export const DIFFERENCES: readonly Difference[] = [
  {
    what: "raft_term of headers",
    why: "counts elections, of which etcd has one more at its start; that there is one is compared",
    etcd: "both",
    hide: (_request, { messages }) => {
      for (const message of messages) mask(message, ["raftTerm"]);
    },
  },
  {
    what: "Status: sizes and indexes",
    why: "sizes of another store, entries of another log",
    etcd: "both",
    rpcs: ["Maintenance/Status"],
    hide: (_request, { messages }) => {
      const names = ["dbSize", "dbSizeInUse", "raftIndex", "raftAppliedIndex"];
      for (const message of messages) mask(message, names);
    },
  },
  {
    what: "Resign without a lease: which refusal",
    why: "etcd grants one first, for which there may be no room (src/coord/DESIGN.md)",
    etcd: "both",
    rpcs: ["Election/Resign"],
    hide: ({ bodies: [body] }, answer) => {
      const leader = body?.leader as TreeMessage | undefined;
      if (leader?.lease === undefined && answer.code !== 0) answer.text = "refused";
    },
  },
  {
    what: "Authenticate: a user without a password",
    why: "etcd says so; Aether tells nobody who exists, in words or by the time that it takes",
    etcd: "both",
    rpcs: ["Auth/Authenticate"],
    hide: (_request, answer) => {
      if (!/no password user|invalid user ID or password/.test(answer.text)) return;
      [answer.code, answer.text] = [GrpcCode.INVALID_ARGUMENT, "refused"];
    },
  },
  {
    what: "order of alarms",
    why: "etcd's come from a map, in Status as in Alarm",
    etcd: "both",
    rpcs: ["Maintenance/Status", "Maintenance/Alarm"],
    hide: (_request, { messages }) => {
      for (const message of messages) {
        if (message.alarms !== undefined) message.alarms = sorted(message.alarms, withoutIds);
        if (message.errors !== undefined) message.errors = sorted(message.errors, withoutIds);
      }
    },
  },
  {
    what: "Status: spaces inside an error",
    why: "Go's text of a message has one or two, by the build, so that nobody relies on it",
    etcd: "both",
    rpcs: ["Maintenance/Status"],
    hide: (_request, { messages }) => {
      for (const message of messages) {
        const errors = message.errors as string[] | undefined;
        if (errors !== undefined) message.errors = errors.map((text) => text.replace(/ +/g, " "));
      }
    },
  },
  {
    what: "Status of 3.4: version, and what came after 3.4",
    why: "we answer as 3.7.1",
    etcd: "3.4",
    rpcs: ["Maintenance/Status"],
    hide: (_request, { messages }) => {
      const later = ["version", "storageVersion", "dbSizeQuota", "downgradeInfo"];
      for (const message of messages) for (const name of later) delete message[name];
    },
  },
  {
    what: "remaining TTL of a lease",
    why: "counts down; only whether there is one is compared",
    etcd: "both",
    rpcs: ["Lease/LeaseTimeToLive"],
    hide: (_request, { messages }) => {
      for (const message of messages) {
        if (Number(message.TTL ?? 0) > 0) message.TTL = "some";
      }
    },
  },
  {
    what: "order of the keys of a lease, order of leases",
    why:
      "keys come from a set; leases are ordered by time left; short ones come and go, and etcd " +
      "grants one of its own for a Resign without a lease, which we do not (src/coord/DESIGN.md)",
    etcd: "both",
    rpcs: ["Lease/LeaseTimeToLive", "Lease/LeaseLeases"],
    hide: (_request, { messages }) => {
      for (const message of messages) {
        if (message.keys !== undefined) message.keys = sorted(message.keys);
        const leases = sorted(longLived(message.leases ?? []));
        delete message.leases;
        if (leases.length > 0) message.leases = leases;
      }
    },
  },
  {
    what: "3.4: keys_only shows the lease",
    why: "since 3.7 keys_only is served from the index, so lease is 0, unless sorted by value",
    etcd: "3.4",
    rpcs: ["KV/Range", "KV/Txn"],
    hide: (request, { messages }) => {
      const [body, message] = [request.bodies[0], messages[0]];
      if (body === undefined || message === undefined) return;
      if (request.rpc === "KV/Range") hideKeysOnlyLease(body, message);
      else hideInTxn(body, message);
    },
  },
  {
    what: "3.4: which check refuses a transaction",
    why:
      "3.4 looks at all puts, each for its key, then its lease, and then at all ranges; 3.7 at " +
      "all in one walk, and at leases first",
    etcd: "3.4",
    rpcs: ["KV/Txn"],
    hide: ({ bodies: [body] }, answer) => {
      if (body === undefined || !CHECKS.includes(answer.text)) return;
      if (checksOf(body).size > 1) [answer.code, answer.text] = [-1, "a check of put or range"];
    },
  },
  {
    what: "how a RangeStream is cut into messages",
    why: "by the bytes on their way; the keys, the last message and the whole are compared",
    etcd: "3.7",
    rpcs: ["KV/RangeStream"],
    hide: (_request, answer) => {
      answer.messages = [mergedStream(answer.messages)];
    },
  },
  {
    what: "Snapshot: the bytes",
    why: "another store's file; that they come without headers, to the last, is compared",
    etcd: "both",
    rpcs: ["Maintenance/Snapshot"],
    hide: (_request, answer) => {
      const [first] = answer.messages;
      const remaining = Number(answer.messages.at(-1)?.remainingBytes ?? 0);
      if (first === undefined) return;
      delete first.remainingBytes; // there if there is more than one
      mask(first, ["blob"]);
      answer.messages = [{ ...first, remaining }];
    },
  },
  {
    what: "3.4: version and hash_revision",
    why: "fields of 3.6",
    etcd: "3.4",
    rpcs: ["Maintenance/Snapshot", "Maintenance/HashKV"],
    hide: (_request, { messages }) => {
      for (const message of messages) {
        delete message.version;
        delete message.hashRevision;
      }
    },
  },
  {
    what: "order of members",
    why: "by id, and ids are chance; that each side keeps to that order is compared",
    etcd: "both",
    rpcs: [
      "Cluster/MemberAdd",
      "Cluster/MemberList",
      "Cluster/MemberPromote",
      "Cluster/MemberRemove",
      "Cluster/MemberUpdate",
    ],
    hide: (_request, { messages }) => {
      for (const message of messages) {
        if (message.members === undefined) continue;
        const members = message.members as TreeMessage[];
        message.rising = members.every(
          ({ ID }, index) =>
            index === 0 || BigInt(String(members[index - 1]?.ID)) < BigInt(String(ID)),
        );
        message.members = sorted(
          members.map(({ ID, ...rest }) => ({ ...rest, ID }) as TreeMessage),
        );
      }
    },
  },
  {
    what: "MemberAdd twice: which of the refusals",
    why: "etcd makes an id of URLs and the time in seconds: again within one it is the same id",
    etcd: "both",
    rpcs: ["Cluster/MemberAdd"],
    hide: (_request, answer) => {
      const refusals = [
        "etcdserver: member ID already exist",
        "etcdserver: member not found", // the id was removed
        "etcdserver: Peer URLs already exists",
        "etcdserver: too many learner members in cluster",
      ];
      if (refusals.includes(answer.text)) [answer.code, answer.text] = [-1, "it is there already"];
    },
  },
  {
    what: "HashKV at the revision of a compaction, or below",
    why: "etcd answers from what it hashed while it compacted, with the compaction before that one",
    etcd: "both",
    rpcs: ["Maintenance/HashKV"],
    hide: ({ bodies: [body] }, answer, { compactRevision }) => {
      const asked = Number(body?.revision ?? 0);
      if (asked <= 0 || asked > compactRevision) return;
      Object.assign(answer, { code: -1, text: "of a compaction", messages: [] });
    },
  },
  {
    what: "Hash",
    why: "of all in the file of the store, which is another one; that there is one is compared",
    etcd: "both",
    rpcs: ["Maintenance/Hash"],
    hide: (_request, { messages }) => {
      for (const message of messages) mask(message, ["hash"]);
    },
  },
];

/** Whether a row concerns a run against this etcd. */
function concerns({ etcd, rpcs }: Difference, rpc: string, isOld: boolean): boolean {
  if (rpcs !== undefined && !rpcs.includes(rpc)) return false;
  return etcd === "both" || (etcd === "3.4") === isOld;
}

/** The answer with everything hidden that may differ. */
export function comparable(
  request: SentCall,
  answer: Answer,
  { isOld, point }: { readonly isOld: boolean; readonly point: Point },
): Comparable {
  const copy: Comparable = structuredClone(answer);
  for (const difference of DIFFERENCES) {
    if (concerns(difference, request.rpc, isOld)) difference.hide(request, copy, point);
  }
  return copy;
}

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

/** Paths at which two values differ, with both values; at most ten. */
export function differencesOf(a: unknown, b: unknown, path = ""): string[] {
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) {
    const text = (value: unknown): string => JSON.stringify(value) ?? "absent";
    return a === b ? [] : [`${path}: ${text(a)} | ${text(b)}`];
  }
  const found: string[] = [];
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const name of names) {
    const left = (a as Record<string, unknown>)[name];
    const right = (b as Record<string, unknown>)[name];
    found.push(...differencesOf(left, right, path === "" ? name : `${path}.${name}`));
  }
  return found.slice(0, 10);
}

/** Fields of that name, anywhere: that they are there is left of them. */
export function mask(value: Tree, names: readonly string[]): void {
  if (Array.isArray(value)) for (const one of value) mask(one, names);
  else if (value !== null && typeof value === "object") {
    for (const [name, one] of Object.entries(value)) {
      if (names.includes(name)) value[name] = "some";
      else mask(one, names);
    }
  }
}

/** Ids that servers drew have no place in an order that two of them share. */
const withoutIds = (text: string): string => text.replace(/\d{12,20}/g, "id");

function sorted(list: Tree, shown = (text: string): string => text): Tree[] {
  const text = (one: Tree): string => shown(JSON.stringify(one));
  return [...(list as Tree[])].sort((a, b) => (text(a) < text(b) ? -1 : 1));
}

function longLived(leases: Tree): Tree[] {
  const isShort = ({ ID }: TreeMessage): boolean =>
    /^\d+$/.test(String(ID)) && Number(ID) >= SHORT_LEASES_FROM;
  return (leases as TreeMessage[]).filter((lease) => !isShort(lease));
}

/** What an operation inside a transaction is refused with, against the state before it. */
const CHECKS = [
  "etcdserver: requested lease not found",
  "etcdserver: key not found",
  "etcdserver: mvcc: required revision has been compacted",
  "etcdserver: mvcc: required revision is a future revision",
];

function opsOf(body: TreeMessage, branch: "success" | "failure"): TreeMessage[] {
  return (body[branch] ?? []) as TreeMessage[];
}

/** What may be refused in a transaction: keys to keep, leases, revisions. */
function checksOf(body: TreeMessage): Set<"key" | "lease" | "revision"> {
  const found = new Set<"key" | "lease" | "revision">();
  for (const op of [...opsOf(body, "success"), ...opsOf(body, "failure")]) {
    const { requestPut, requestRange, requestTxn } = op as Record<string, TreeMessage | undefined>;
    if (requestRange?.revision !== undefined) found.add("revision");
    if (requestPut?.lease !== undefined) found.add("lease");
    if (requestPut?.ignoreLease === true || requestPut?.ignoreValue === true) found.add("key");
    if (requestTxn !== undefined) for (const check of checksOf(requestTxn)) found.add(check);
  }
  return found;
}

/** SortTarget VALUE. */
const BY_VALUE = 4;

function hideKeysOnlyLease(request: TreeMessage, body: TreeMessage): void {
  if (request.keysOnly !== true || request.sortTarget === BY_VALUE) return;
  for (const kv of (body.kvs ?? []) as TreeMessage[]) delete kv.lease;
}

function hideInTxn(request: TreeMessage, body: TreeMessage): void {
  const responses = (body.responses ?? []) as TreeMessage[];
  opsOf(request, body.succeeded === true ? "success" : "failure").forEach((op, index) => {
    const response = responses[index];
    const asked = op as Record<string, TreeMessage | undefined>;
    const given = response as Record<string, TreeMessage | undefined> | undefined;
    if (asked.requestRange !== undefined && given?.responseRange !== undefined) {
      hideKeysOnlyLease(asked.requestRange, given.responseRange);
    }
    if (asked.requestTxn !== undefined && given?.responseTxn !== undefined) {
      hideInTxn(asked.requestTxn, given.responseTxn);
    }
  });
}

/** All keys in one list, and the rest as the last message has it. */
function mergedStream(messages: readonly TreeMessage[]): TreeMessage {
  const ranges = messages.map(({ rangeResponse }) => (rangeResponse ?? {}) as TreeMessage);
  const kvs = ranges.flatMap((range) => (range.kvs ?? []) as Tree[]);
  const early = ranges.slice(0, -1).flatMap(({ kvs: _, ...rest }) => Object.keys(rest));
  return { last: { ...ranges.at(-1), kvs }, early };
}
