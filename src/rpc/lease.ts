/**
 * Leases: etcd's Lease and our AetherLease. Granting and revoking go through the log; renewing is
 * the leader's own act, to which every member passes it on (node/lease-calls.ts).
 */

import { AetherError } from "../base/errors.ts";
import type { Clock, Random } from "../base/ports.ts";
import type { Group } from "../node/group.ts";
import type { LeaseLife } from "../node/ports.ts";
import { AetherLease } from "../proto/gen/aether.v1.ts";
import {
  AlarmType,
  Lease,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
} from "../proto/gen/etcdserverpb.ts";
import { CommandKind } from "../state/command.ts";
import { LEASE_TTL_SECONDS_MAX } from "../state/leases.ts";
import type { Outcome } from "../state/results.ts";
import type { Method, ServerCall, StreamHandler, UnaryMethod } from "../wire/grpc/server-call.ts";
import {
  checkSize,
  decodeRequest,
  fail,
  guarded,
  leavesUnread,
  reply,
  send,
  UNREAD,
} from "./answer.ts";
import type { Authorizer } from "./authorize.ts";
import { headerAt, type Identity } from "./headers.ts";
import { proposeGrant } from "./lease-grant.ts";
import { failProposal } from "./refused-proposal.ts";

export interface LeaseBackend {
  readonly group: Group;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly random: Random;
  /** Shorter TTLs are raised to this: a lease must outlive an election. */
  readonly ttlSecondsMin: number;
  /** What native clients may ask for; etcd's face has only etcd's own bound. */
  readonly native: LeaseLimits;
  readonly auth: Authorizer;
}

export interface LeaseLimits {
  readonly leasesMax: number;
  readonly ttlSecondsMax: number;
}

/**
 * Renewals of one stream that wait for a read index or for the end of their lease. etcd's clients
 * send one request for each lease every third of its TTL; this bounds a stream to about 10 MB.
 */
const RENEWALS_WAITING_MAX = 32_768;

const NO_LIMITS: LeaseLimits = {
  leasesMax: Number.POSITIVE_INFINITY,
  ttlSecondsMax: Number.POSITIVE_INFINITY,
};

export class LeaseService {
  readonly #backend: LeaseBackend;
  readonly #group: Group;
  readonly #streams = new Set<ServerCall>();
  /** Grants on their way through the log: they count against the limit before they exist. */
  #granting = 0;

  constructor(backend: LeaseBackend) {
    this.#backend = backend;
    this.#group = backend.group;
  }

  methods(): Method[] {
    const grant = (limits: LeaseLimits): UnaryMethod["unary"] => {
      return (call, bytes, start, end) =>
        this.#grant(call, decodeRequest(LeaseGrantRequest, bytes, start, end), limits);
    };
    const revoke = this.#revoke.bind(this);
    const keepAlive = (call: ServerCall): StreamHandler => this.#keepAlive(call);
    const timeToLive = this.#timeToLive.bind(this);
    const leases = (call: ServerCall): void => this.#leases(call);
    return [
      { path: Lease.LeaseGrant.path, unary: grant(NO_LIMITS) },
      { path: Lease.LeaseRevoke.path, unary: revoke },
      { path: Lease.LeaseKeepAlive.path, stream: keepAlive },
      { path: Lease.LeaseTimeToLive.path, unary: timeToLive },
      { path: Lease.LeaseLeases.path, unary: leases },
      { path: AetherLease.LeaseGrant.path, unary: grant(this.#backend.native) },
      { path: AetherLease.LeaseRevoke.path, unary: revoke },
      { path: AetherLease.LeaseKeepAlive.path, stream: keepAlive },
      { path: AetherLease.LeaseTimeToLive.path, unary: timeToLive },
      { path: AetherLease.LeaseLeases.path, unary: leases },
    ];
  }

  /** Ends every keep-alive stream. */
  close(reason: AetherError): void {
    for (const call of this.#streams) fail(call, reason);
    this.#streams.clear();
  }

  #header(): ReturnType<typeof headerAt> {
    return headerAt(this.#backend.identity, this.#group.machine.revision, this.#group.term);
  }

  #grant(call: ServerCall, request: LeaseGrantRequest, limits: LeaseLimits): void {
    const { machine } = this.#group;
    const { TTL } = request;
    if (TTL > LEASE_TTL_SECONDS_MAX) {
      // etcd sees it when it applies, after it has looked for room.
      const hasRoom = !machine.hasAlarm(AlarmType.NOSPACE);
      throw new AetherError(hasRoom ? "lease_ttl_too_large" : "no_space");
    }
    if (TTL > limits.ttlSecondsMax) {
      const most = `lease.max_ttl is ${limits.ttlSecondsMax} seconds`;
      throw new AetherError("lease_ttl_over_limit", `lease TTL ${TTL} is too long: ${most}`);
    }
    if (machine.leaseCount + this.#granting >= limits.leasesMax) {
      const most = `lease.max_leases is ${limits.leasesMax}`;
      throw new AetherError("too_many_leases", `too many leases: ${most}`);
    }
    this.#granting++;
    const asked = { id: request.ID, ttlSeconds: TTL };
    const { id: ID, ttlSeconds } = proposeGrant(this.#backend, asked, (outcome) => {
      this.#granting--;
      if (outcome instanceof AetherError) failProposal(call, this.#group, outcome);
      else {
        const header = headerAt(this.#backend.identity, outcome.revision, this.#group.term);
        reply(call, LeaseGrantResponse, { header, ID, TTL: ttlSeconds, error: "" });
      }
    });
  }

  #revoke(call: ServerCall, bytes: Uint8Array, start: number, end: number): void {
    decodeRequest(LeaseRevokeRequest, bytes, start, end);
    checkSize(start, end);
    const onOutcome = (outcome: Outcome): void => {
      if (outcome instanceof AetherError) failProposal(call, this.#group, outcome);
      else {
        const header = headerAt(this.#backend.identity, outcome.revision, this.#group.term);
        reply(call, LeaseRevokeResponse, { header });
      }
    };
    const caller = this.#backend.auth.callerOf(call);
    this.#group.propose(CommandKind.leaseRevoke, bytes, start, end, onOutcome, caller);
  }

  /** Keep-alive streams that are open. */
  get streamCount(): number {
    return this.#streams.size;
  }

  #keepAlive(call: ServerCall): StreamHandler {
    this.#streams.add(call);
    const forget = (): boolean => this.#streams.delete(call);
    return new KeepAlive(call, (ID, done) => this.#renew(call, ID, done), forget);
  }

  #renew(
    call: ServerCall,
    ID: bigint,
    done: (answer: LeaseKeepAliveResponse | AetherError) => void,
  ): void {
    const header = this.#header(); // from before the renewal, as etcd's
    const refusal = this.#backend.auth.refusalOf(() => {
      this.#backend.auth.checkLease(call, "write", ID);
    });
    if (refusal !== undefined) {
      done(refusal);
      return;
    }
    this.#group.renewLease(ID, (ttl) => {
      done(ttl instanceof AetherError ? ttl : { header, ID, TTL: ttl });
    });
  }

  #timeToLive(call: ServerCall, bytes: Uint8Array, start: number, end: number): void {
    const { ID, keys } = decodeRequest(LeaseTimeToLiveRequest, bytes, start, end);
    this.#group.leaseLife(ID, (life) => {
      if (life instanceof AetherError) fail(call, life);
      else if (keys) this.#whenRead(call, () => this.#answerLife(call, life, true));
      else this.#answerLife(call, life, false);
    });
  }

  /** Runs `answer` when what this member has applied is as new as the leader's clock. */
  #whenRead(call: ServerCall, answer: () => void): void {
    this.#group.read((error) => {
      if (error === undefined) guarded(call, answer);
      else fail(call, error);
    });
  }

  /** What is left of a lease; TTL -1 if it is unknown or has run out. */
  #answerLife(call: ServerCall, { id: ID, leftMs = 0, ttlSeconds }: LeaseLife, withKeys: boolean) {
    if (withKeys) this.#backend.auth.checkLease(call, "read", ID);
    const header = this.#header();
    if (leftMs <= 0) {
      reply(call, LeaseTimeToLiveResponse, { header, ID, TTL: -1, grantedTTL: 0, keys: [] });
      return;
    }
    const owned = withKeys ? this.#group.machine.lease(ID)?.keys : undefined; // dear for many
    const life = { header, ID, TTL: Math.floor(leftMs / 1000), grantedTTL: ttlSeconds };
    reply(call, LeaseTimeToLiveResponse, { ...life, keys: [...(owned ?? [])] });
  }

  /** All leases, those that end first first; only the leader knows what is left of them. */
  #leases(call: ServerCall): void {
    this.#whenRead(call, () => {
      const nowMs = this.#backend.clock.monotonicMs();
      const found: { ID: bigint; leftMs: number }[] = [];
      const { auth } = this.#backend;
      this.#group.machine.forEachLease((ID, ttlSeconds) => {
        if (auth.enabled) auth.checkLease(call, "read", ID);
        const leftMs = this.#group.expiry.remainingMs(ID, nowMs) ?? ttlSeconds * 1000;
        found.push({ ID, leftMs });
      });
      found.sort((a, b) => a.leftMs - b.leftMs);
      const leases = found.map(({ ID }) => ({ ID }));
      reply(call, LeaseLeasesResponse, { header: this.#header(), leases });
    });
  }
}

type Renewal = LeaseKeepAliveResponse | AetherError;

/** A renewal that was asked for, and its answer once there is one. */
interface Asked {
  answer: Renewal | undefined;
}

/**
 * One stream of renewals: answers each request, in their order, an unknown lease with TTL 0. A
 * renewal that waits for the end of its lease holds back the answers behind it and not what they
 * say: those leases are renewed meanwhile. The stream of a client that sends no more ends when its
 * last renewal is answered.
 */
class KeepAlive implements StreamHandler {
  readonly #call: ServerCall;
  readonly #renew: (ID: bigint, done: (answer: Renewal) => void) => void;
  /** Called once, when the call ends in whatever way but close(). */
  readonly #onEnd: () => void;
  /** Renewals whose answers are not sent yet, in the order in which they were asked for. */
  readonly #asked: Asked[] = [];
  #halfClosed = false;

  constructor(
    call: ServerCall,
    renew: (ID: bigint, done: (answer: Renewal) => void) => void,
    onEnd: () => void,
  ) {
    this.#call = call;
    this.#renew = renew;
    this.#onEnd = onEnd;
  }

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    if (leavesUnread(this.#call) || this.#asked.length >= RENEWALS_WAITING_MAX) {
      this.#onEnd();
      this.#call.fail(UNREAD.code, UNREAD.message);
      return;
    }
    const request = this.#decode(bytes, start, end);
    if (request === undefined) return;
    const asked: Asked = { answer: undefined };
    this.#asked.push(asked);
    this.#renew(request.ID, (answer) => {
      asked.answer = answer;
      this.#sendAnswers();
    });
  }

  onHalfClose(): void {
    this.#halfClosed = true;
    this.#finishWhenDone();
  }

  onCancel(): void {
    this.#onEnd();
  }

  onDrain(): void {}

  #decode(bytes: Uint8Array, start: number, end: number): LeaseKeepAliveRequest | undefined {
    try {
      return decodeRequest(LeaseKeepAliveRequest, bytes, start, end);
    } catch (error) {
      if (!(error instanceof AetherError)) throw error;
      this.#fail(error);
      return undefined;
    }
  }

  #sendAnswers(): void {
    for (let answer = this.#asked[0]?.answer; answer !== undefined; ) {
      this.#asked.shift();
      if (answer instanceof AetherError) {
        this.#asked.length = 0;
        this.#fail(answer);
        return;
      }
      send(this.#call, LeaseKeepAliveResponse, answer);
      answer = this.#asked[0]?.answer;
    }
    this.#finishWhenDone();
  }

  #fail(error: AetherError): void {
    this.#onEnd();
    fail(this.#call, error);
  }

  #finishWhenDone(): void {
    if (!this.#halfClosed || this.#asked.length > 0) return;
    this.#onEnd();
    this.#call.finish();
  }
}
