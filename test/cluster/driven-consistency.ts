/** A consistency check over a fake group, whose reads, proposals and questions tests answer. */
import { expect } from "bun:test";
import { AetherError, type ErrorCode } from "../../src/base/errors.ts";
import type { LogFields } from "../../src/base/ports.ts";
import {
  Consistency,
  type ConsistencyGroup,
  type HashDone,
} from "../../src/cluster/consistency.ts";
import type { PeerProgress } from "../../src/cluster/ports.ts";
import type { StateHash } from "../../src/cluster/state-verdict.ts";
import { silentLog } from "../../src/observe/log.ts";
import {
  AlarmAction,
  type AlarmMember,
  AlarmRequest,
  AlarmType,
  Member,
} from "../../src/proto/gen/etcdserverpb.ts";
import { configurationOf } from "../../src/raft/membership/configuration.ts";
import type { Configuration, MemberId } from "../../src/raft/types.ts";
import { Alarms } from "../../src/state/alarms.ts";
import { CommandKind } from "../../src/state/command.ts";
import type { Outcome } from "../../src/state/results.ts";

export const SELF = 1n as MemberId;
export const INTERVAL_MS = 3_600_000;
export const TICK_MS = 100;
/** What is waited after an election, and before a round is repeated. */
export const SOON_MS = 30_000;
export const RETRY_MS = 10_000;

export const id = (n: number): MemberId => BigInt(n) as MemberId;

/** The hash at every member that is in good order. */
export const RIGHT: StateHash = { hash: 0xabc, revision: 50, compactRevision: 10 };
export const wrong = (hash = 0xbad): StateHash => ({ ...RIGHT, hash });
export const failure = (code: ErrorCode): AetherError => new AetherError(code);

class FakeGroup implements ConsistencyGroup {
  readonly #alarms = new Alarms();
  readonly machine = {
    compactRevision: RIGHT.compactRevision,
    alarms: (): readonly AlarmMember[] => this.#alarms.all,
    hasAlarm: (type: number, memberId: bigint) => this.#alarms.has(type, memberId),
    member: (ID: bigint) => Member.create({ ID, name: `m${ID}`, peerURLs: [`http://m${ID}:1`] }),
  };
  term = 5;
  isLeader = true;
  isReady = true;
  configuration: Configuration;
  readonly reads: ((error: AetherError | undefined) => void)[] = [];
  /** Reads are answered when the test says so. */
  holdsReads = false;
  proposalError: AetherError | undefined = undefined;
  readonly proposed: bigint[] = [];
  readonly transfers: MemberId[] = [];
  readonly away = new Set<MemberId>();

  constructor(voters: number, learners: number) {
    const ids = Array.from({ length: voters + learners }, (_, i) => id(i + 1));
    this.configuration = configurationOf(ids.slice(0, voters), ids.slice(voters));
  }

  read(done: (error: AetherError | undefined) => void): void {
    if (this.holdsReads) this.reads.push(done);
    else done(undefined);
  }

  propose(
    kind: CommandKind,
    bytes: Uint8Array,
    start: number,
    end: number,
    done: (outcome: Outcome) => void,
  ): void {
    expect(kind).toBe(CommandKind.alarm);
    const request = AlarmRequest.decode(bytes, start, end);
    expect(request).toMatchObject({ action: AlarmAction.ACTIVATE, alarm: AlarmType.CORRUPT });
    this.proposed.push(request.memberID);
    if (this.proposalError !== undefined) done(this.proposalError);
    else done({ kind: "alarm", revision: 1, alarms: this.#alarms.run(request, []) });
  }

  raise(memberID: bigint, action: AlarmAction = AlarmAction.ACTIVATE): void {
    this.#alarms.run({ action, memberID, alarm: AlarmType.CORRUPT }, []);
  }

  progress(): readonly PeerProgress[] {
    const { voters, learners } = this.configuration;
    return [...voters, ...learners]
      .filter((each) => each !== SELF)
      .map((each) => ({ id: each, match: Number(each), active: !this.away.has(each) }));
  }

  transferLeadership(to: MemberId): void {
    this.transfers.push(to);
  }
}

interface WorldOptions {
  readonly voters?: number;
  readonly learners?: number;
  readonly intervalMs?: number;
  readonly compactedIntervalMs?: number;
}

/** A leader among others, whose hashes the test sets. */
export class World {
  readonly group: FakeGroup;
  /** What is worth a person's attention. */
  readonly lines: string[] = [];
  readonly consistency: Consistency;
  own: StateHash | AetherError = RIGHT;
  readonly answers = new Map<MemberId, StateHash | AetherError>();
  readonly asked: { to: MemberId; revision: number; done: HashDone }[] = [];
  readonly hashing: { isWanted: () => boolean; done: HashDone }[] = [];
  /** Hashes and answers come when the test says so. */
  holdsOwn = false;
  holdsAnswers = false;
  rounds = 0;
  nowMs = 1000;

  constructor(options: WorldOptions = {}) {
    const { voters = 3, learners = 0, intervalMs = INTERVAL_MS, compactedIntervalMs } = options;
    this.group = new FakeGroup(voters, learners);
    const clock = { monotonicMs: () => this.nowMs, wallMs: () => 0 };
    const note = (message: string, fields: LogFields = {}): void => {
      this.lines.push(`${message} ${Object.values(fields).join(" ")}`);
    };
    const log = { ...silentLog, warn: note, error: note };
    this.consistency = new Consistency(
      {
        ...{ memberId: SELF, intervalMs },
        ...(compactedIntervalMs === undefined ? {} : { compactedIntervalMs }),
      },
      {
        ...{ group: this.group, clock, log },
        hashHere: (isWanted, done) => {
          this.rounds++;
          if (this.holdsOwn) this.hashing.push({ isWanted, done });
          else done(this.own);
        },
        hashAt: (to, revision, done) => {
          this.asked.push({ to, revision, done });
          if (!this.holdsAnswers) done(this.answers.get(to) ?? RIGHT);
        },
      },
    );
  }

  pass(ms: number): this {
    for (let passed = 0; passed < ms; passed += TICK_MS) {
      this.consistency.tick();
      this.nowMs += TICK_MS;
    }
    return this;
  }

  /** Until the first round after an election. */
  firstRound(): this {
    this.pass(SOON_MS + TICK_MS);
    return this;
  }

  get alarmed(): bigint[] {
    return this.group.machine.alarms().map(({ memberID }) => memberID);
  }

  get text(): string {
    return this.lines.join("\n");
  }
}
