/**
 * The space quota, around the methods that take room (etcd's v3rpc/quota.go): a request that does
 * not fit raises the NOSPACE alarm of this member through the log and fails. While anybody has it,
 * every member refuses such requests when they are applied (state/machine.ts).
 *
 *   room = quota − what the state's file holds − what it does not hold yet
 *
 * is measured with each tick and counted down in between, so a request costs a comparison. Counted
 * is what holds data, not the file: what compaction freed is used again, so no defragmentation has
 * to come first. An alarm that a quota raised clears itself after a minute below CLEAR_SHARE of it.
 */
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { Clock, Log } from "../base/ports.ts";
import { GIB } from "../base/units.ts";
import type { Group } from "../node/group.ts";
import { AetherKV, AetherLease } from "../proto/gen/aether.v1.ts";
import {
  AlarmAction,
  AlarmRequest,
  AlarmType,
  KV,
  Lease,
  PutRequest,
  TxnRequest,
} from "../proto/gen/etcdserverpb.ts";
import { CommandKind } from "../state/command.ts";
import { costOfPut, costOfTxn, GRANT_BYTES } from "../state/cost.ts";
import type { Method, ServerCall, UnaryMethod } from "../wire/grpc/server-call.ts";
import { decodeRequest, fail } from "./answer.ts";

/** etcd's --quota-backend-bytes where none is given, and the most that it advises. */
export const QUOTA_BYTES_DEFAULT = 2 * GIB;
export const QUOTA_BYTES_ADVISED_MAX = 8 * GIB;

/** Below this share of the quota, and for so long, an alarm that it raised is over. */
const CLEAR_SHARE = 0.9;
const CLEAR_AFTER_MS = 60_000;

/** Between two attempts to raise or to clear, if the first one failed. */
const RETRY_MS = 1000;

export interface QuotaParts {
  readonly group: Pick<Group, "machine" | "propose" | "unstoredBytes">;
  readonly memberId: bigint;
  /** As configured: 0 stands for the default, less for none. */
  readonly quotaBytes: number;
  readonly sizeInUseBytes: () => number;
  readonly clock: Clock;
  readonly log: Log;
}

/** What a request takes at most, by its length alone, and what it takes. */
interface Cost {
  readonly most: (bytes: number) => number;
  readonly exact: (bytes: Uint8Array, start: number, end: number) => number;
}

const PUT: Cost = {
  most: (bytes) => costOfPut(bytes, 0),
  exact: (...request) => {
    const { key, value } = decodeRequest(PutRequest, ...request);
    return costOfPut(key.length, value.length);
  },
};

/** The shortest put inside a transaction takes five bytes of its request. */
const TXN: Cost = {
  most: (bytes) => bytes + costOfPut(0, 0) * (bytes / 5),
  exact: (...request) => costOfTxn(decodeRequest(TxnRequest, ...request)),
};

const GRANT: Cost = { most: () => GRANT_BYTES, exact: () => GRANT_BYTES };

const COSTS: ReadonlyMap<string, Cost> = new Map([
  [KV.Put.path, PUT],
  [AetherKV.Put.path, PUT],
  [KV.Txn.path, TXN],
  [AetherKV.Txn.path, TXN],
  [Lease.LeaseGrant.path, GRANT],
  [AetherLease.LeaseGrant.path, GRANT],
]);

export class SpaceQuota {
  readonly #parts: QuotaParts;
  readonly #quotaBytes: number;
  readonly #body = new ByteWriter(64);
  /** What still fits, until the next tick measures it. */
  #room: number;
  /** Calls that are refused once the alarm is raised. */
  #refused: ServerCall[] = [];
  #proposing = false;
  #retryMs = Number.NEGATIVE_INFINITY;
  /** Since when there was space below CLEAR_SHARE. */
  #clearSinceMs: number | undefined = undefined;
  /** Puts that had been applied by the last tick: another member may have let them in. */
  #puts = 0;

  constructor(parts: QuotaParts) {
    this.#parts = parts;
    this.#quotaBytes = quotaOf(parts.quotaBytes);
    this.#room = this.#quotaBytes;
  }

  /** The same methods; those that take room have to fit. */
  guard(methods: readonly Method[]): Method[] {
    if (this.#quotaBytes === Number.POSITIVE_INFINITY) return [...methods];
    return methods.map((method) => {
      const cost = COSTS.get(method.path);
      return cost !== undefined && "unary" in method ? this.#guardOne(method, cost) : method;
    });
  }

  /**
   * Looks at what is in use; returns it. To be called when alarms have changed: somebody disarms
   * one because there is space again, and the next put must not raise it by what was true before.
   */
  measure(): number {
    const { group, sizeInUseBytes } = this.#parts;
    const usedBytes = sizeInUseBytes() + group.unstoredBytes;
    this.#room = this.#quotaBytes - usedBytes;
    return usedBytes;
  }

  /** To be called with each tick of the group. */
  tick(): void {
    if (this.#quotaBytes === Number.POSITIVE_INFINITY) return;
    const { group, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    const usedBytes = this.measure();
    const { puts } = group.machine.counts;
    const grew = puts > this.#puts;
    this.#puts = puts;
    if (grew && this.#room <= 0 && !this.#isRaised) this.#propose(AlarmAction.ACTIVATE);
    if (usedBytes >= CLEAR_SHARE * this.#quotaBytes) this.#clearSinceMs = undefined;
    else this.#clearSinceMs ??= nowMs;
    this.#maybeClear(nowMs);
  }

  #guardOne({ path, unary }: UnaryMethod, { most, exact }: Cost): UnaryMethod {
    return {
      path,
      unary: (call, bytes, start, end) => {
        const bytesMost = most(end - start);
        if (bytesMost < this.#room) this.#room -= end - start;
        else if (!this.#takes(exact(bytes, start, end))) {
          this.#refuse(call);
          return;
        }
        unary(call, bytes, start, end);
      },
    };
  }

  /** Takes room for so much; false if it does not fit. What costs nothing always does. */
  #takes(bytes: number): boolean {
    if (bytes > 0 && bytes >= this.#room) return false;
    this.#room -= bytes;
    return true;
  }

  #refuse(call: ServerCall): void {
    this.#refused.push(call);
    if (this.#isRaised) this.#failRefused();
    else this.#propose(AlarmAction.ACTIVATE);
  }

  /** The answer comes when the alarm is raised, or when it could not be. */
  #failRefused(): void {
    for (const call of this.#refused.splice(0)) fail(call, new AetherError("no_space"));
  }

  #maybeClear(nowMs: number): void {
    const { group, memberId } = this.#parts;
    if (this.#clearSinceMs === undefined || nowMs - this.#clearSinceMs < CLEAR_AFTER_MS) return;
    if (nowMs < this.#retryMs || !group.machine.isAlarmByQuota(memberId)) return;
    this.#propose(AlarmAction.DEACTIVATE);
  }

  #propose(action: AlarmAction): void {
    if (this.#proposing) return;
    this.#proposing = true;
    const { group, memberId, clock, log } = this.#parts;
    AlarmRequest.encode({ action, memberID: memberId, alarm: AlarmType.NOSPACE }, this.#body);
    const body = this.#body.view();
    group.propose(CommandKind.quotaAlarm, body, 0, body.length, (outcome) => {
      this.#proposing = false;
      this.#retryMs = clock.monotonicMs() + RETRY_MS;
      this.#failRefused();
      const quotaBytes = this.#quotaBytes;
      if (outcome instanceof AetherError) {
        log.warn("the alarm of the space quota was not changed", { reason: outcome.message });
      } else if (action === AlarmAction.ACTIVATE) log.error(FULL, { quotaBytes });
      else log.info("there is space again: the alarm is cleared", { quotaBytes });
    });
    this.#body.reset();
  }

  get #isRaised(): boolean {
    const { group, memberId } = this.#parts;
    return group.machine.hasAlarm(AlarmType.NOSPACE, memberId);
  }
}

const FULL =
  "the space quota is used up: puts and grants are refused; delete what is not needed and run " +
  "`aether ctl compaction <revision>`: the alarm clears itself a minute after there is space again";

function quotaOf(configured: number): number {
  if (configured < 0) return Number.POSITIVE_INFINITY;
  return configured === 0 ? QUOTA_BYTES_DEFAULT : configured;
}
