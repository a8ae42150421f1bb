/**
 * Who is served at all, in one place around the methods rather than in each of them:
 *
 *   a learner serves Status, Snapshot and serializable reads, and refuses the rest (etcd's rule)
 *   a member whose own state is known to be corrupt serves no keys, leases and watches
 *   while members differ and nobody knows who is right, nobody changes keys and leases or promises
 *   to have read the newest; stale reads, watches and renewals of leases go on
 *   a call that asks for a leader (metadata `hasleader: true`) is refused while none is known; a
 *   stream that was begun is ended when none was for three election timeouts (etcd's rule:
 *   streams cost more to set up again than a lost election lasts)
 *
 * A member in good order pays two comparisons a call.
 */
import { AetherError, type ErrorCode } from "../base/errors.ts";
import type { Group } from "../node/group.ts";
import {
  AetherKV,
  AetherLease,
  AetherMaintenance,
  AetherWatch,
  GetRequest,
} from "../proto/gen/aether.v1.ts";
import {
  AlarmType,
  KV,
  Lease,
  Maintenance,
  RangeRequest,
  Watch,
} from "../proto/gen/etcdserverpb.ts";
import { Election } from "../proto/gen/v3electionpb.ts";
import { Lock } from "../proto/gen/v3lockpb.ts";
import { WHOLE_CLUSTER } from "../state/alarms.ts";
import type {
  Method,
  ServerCall,
  StreamHandler,
  StreamMethod,
  UnaryMethod,
} from "../wire/grpc/server-call.ts";
import { decodeRequest } from "./answer.ts";
import { Overload, REFUSED_WHEN_FULL } from "./overload.ts";
import { TrackedStream } from "./tracked-stream.ts";

/** Election timeouts without a leader after which streams that ask for one are ended. */
const LEADERLESS_ELECTIONS_MAX = 3;

export interface AdmissionParts {
  readonly group: Pick<Group, "leader" | "machine" | "load">;
  readonly memberId: bigint;
  readonly electionMs: number;
  /** This member's state turned out to be corrupt: streams that were begun are to end. */
  readonly onCorrupt: () => void;
}

type Bytes = readonly [bytes: Uint8Array, start: number, end: number];

const always = (): boolean => true;

/** Reads that promise nothing: by path, whether this request is one. */
const STALE_READS: ReadonlyMap<string, (...request: Bytes) => boolean> = new Map([
  [KV.Range.path, (...request: Bytes) => decodeRequest(RangeRequest, ...request).serializable],
  [
    AetherKV.Range.path,
    (...request: Bytes) => decodeRequest(RangeRequest, ...request).serializable,
  ],
  [AetherKV.Get.path, (...request: Bytes) => decodeRequest(GetRequest, ...request).serializable],
]);

/** What a learner serves: by path, whether this request is of that kind. */
const LEARNER_SERVES: ReadonlyMap<string, (...request: Bytes) => boolean> = new Map([
  ...STALE_READS,
  [Maintenance.Status.path, always],
  [AetherMaintenance.Status.path, always],
  [Maintenance.Snapshot.path, always],
  [AetherMaintenance.Snapshot.path, always],
]);

/** What a member with a corrupt state must not answer. */
const OF_THE_STATE: ReadonlySet<string> = new Set(
  [KV, Watch, Lease, Lock, Election, AetherKV, AetherWatch, AetherLease].flatMap((service) =>
    Object.values(service).map(({ path }) => path),
  ),
);

/** What needs members that agree with each other, unless it is a stale read. */
const OF_ONE_STATE: ReadonlySet<string> = new Set(
  [
    ...Object.values(KV),
    ...[...Object.values(AetherKV), ...Object.values(Lock), ...Object.values(Election)],
    ...[Lease, AetherLease].flatMap(({ LeaseGrant, LeaseRevoke }) => [LeaseGrant, LeaseRevoke]),
  ].map(({ path }) => path),
);

export class Admission {
  readonly overload: Overload;
  readonly #parts: AdmissionParts;
  /** Open streams that are to end when there is no leader. */
  readonly #streams = new Set<TrackedStream>();
  #isLearner = false;
  #isCorrupt = false;
  /** Members differ, and nobody knows who is right. */
  #isSplit = false;
  /** Nothing is refused but what asks for a leader. */
  #isWhole = true;
  #leaderSeenMs: number | undefined = undefined;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
    this.overload = new Overload(parts.group.load);
    this.refresh();
  }

  /** To be called when members or alarms have changed. */
  refresh(): void {
    const { memberId, group, onCorrupt } = this.#parts;
    const wasCorrupt = this.#isCorrupt;
    this.#isLearner = group.machine.member(memberId)?.isLearner === true;
    this.#isCorrupt = group.machine.hasAlarm(AlarmType.CORRUPT, memberId);
    this.#isSplit = group.machine.hasAlarm(AlarmType.CORRUPT, WHOLE_CLUSTER);
    this.#isWhole = !this.#isLearner && !this.#isCorrupt && !this.#isSplit;
    if (this.#isCorrupt && !wasCorrupt) onCorrupt();
  }

  /** This member's own state is corrupt. */
  get isCorrupt(): boolean {
    return this.#isCorrupt;
  }

  /** Open streams that ask for a leader. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /** The same methods, behind the gates. */
  guard(methods: readonly Method[]): Method[] {
    return methods.map((method) =>
      "unary" in method ? this.#guardUnary(method) : this.#guardStream(method),
    );
  }

  /** To be called with each tick of the group. */
  tick(nowMs: number): void {
    const { group, electionMs } = this.#parts;
    if (group.leader !== 0n || this.#leaderSeenMs === undefined) this.#leaderSeenMs = nowMs;
    if (nowMs - this.#leaderSeenMs < LEADERLESS_ELECTIONS_MAX * electionMs) return;
    for (const stream of this.#streams) stream.cut(new AetherError("no_leader"));
    this.#streams.clear();
  }

  #guardUnary({ path, unary }: UnaryMethod): UnaryMethod {
    const { group } = this.#parts;
    const { load } = group;
    const isRefused = REFUSED_WHEN_FULL.has(path);
    return {
      path,
      unary: (call, bytes, start, end) => {
        if (isRefused && load.waiting >= load.limit) this.overload.check(call);
        if (!this.#isWhole) this.#check(path, bytes, start, end);
        if (group.leader === 0n && asksForLeader(call)) throw new AetherError("no_leader");
        unary(call, bytes, start, end);
      },
    };
  }

  #guardStream({ path, stream }: StreamMethod): StreamMethod {
    return {
      path,
      stream: (call) => {
        if (!this.#isWhole) this.#check(path, NOTHING, 0, 0);
        return asksForLeader(call) ? this.#track(stream, call) : stream(call);
      },
    };
  }

  #track(open: StreamMethod["stream"], call: ServerCall): StreamHandler {
    if (this.#parts.group.leader === 0n) throw new AetherError("no_leader");
    const stream = new TrackedStream(call, open, () => this.#streams.delete(stream));
    if (!stream.ended) this.#streams.add(stream);
    return stream;
  }

  #check(path: string, bytes: Uint8Array, start: number, end: number): void {
    const refusal = this.#refusalOf(path, bytes, start, end);
    if (refusal !== undefined) throw new AetherError(refusal);
  }

  #refusalOf(path: string, ...request: Bytes): ErrorCode | undefined {
    if (this.#isCorrupt && OF_THE_STATE.has(path)) return "corrupt";
    if (this.#isSplit && OF_ONE_STATE.has(path) && STALE_READS.get(path)?.(...request) !== true) {
      return "corrupt";
    }
    if (this.#isLearner && LEARNER_SERVES.get(path)?.(...request) !== true) {
      return "not_for_learners";
    }
    return undefined;
  }
}

const NOTHING = new Uint8Array(0);

function asksForLeader(call: ServerCall): boolean {
  return call.metadata.get("hasleader") === "true";
}
