/** The services over a driven group, and calls as the wire makes them, without a wire. */
import { ByteWriter } from "../../src/base/bytes.ts";
import { AetherError } from "../../src/base/errors.ts";
import type { Log, LogFields } from "../../src/base/ports.ts";
import { MIB } from "../../src/base/units.ts";
import type { MessageType } from "../../src/proto/message.ts";
import { Admission } from "../../src/rpc/admission.ts";
import { authMethods } from "../../src/rpc/auth.ts";
import { Authorizer } from "../../src/rpc/authorize.ts";
import { clusterMethods } from "../../src/rpc/cluster.ts";
import { expectedFailure } from "../../src/rpc/errors.ts";
import { HashQueue } from "../../src/rpc/hash-queue.ts";
import { HealthService } from "../../src/rpc/health.ts";
import { type KvLimits, KvService } from "../../src/rpc/kv.ts";
import { type LeaseLimits, LeaseService } from "../../src/rpc/lease.ts";
import { maintenanceMethods } from "../../src/rpc/maintenance.ts";
import { Passwords } from "../../src/rpc/passwords.ts";
import { SpaceQuota } from "../../src/rpc/quota.ts";
import { reflectionMethods } from "../../src/rpc/reflection.ts";
import { SimpleTokens } from "../../src/rpc/tokens.ts";
import { WatchService } from "../../src/rpc/watch.ts";
import { FieldList, type Metadata, NO_METADATA } from "../../src/wire/grpc/metadata.ts";
import type { Method, ServerCall, StreamHandler } from "../../src/wire/grpc/server-call.ts";
import type { GrpcCode } from "../../src/wire/grpc/status.ts";
import {
  DrivenGroup,
  type DrivenOptions,
  ELECTION_TICKS,
  MEMBER,
  TICK_MS,
} from "../node/driven-group.ts";
import { FakeMembership } from "./fake-membership.ts";

export const CLUSTER = 0xcdf818194e3a8c32n;

export interface Ending {
  readonly code: GrpcCode;
  readonly message: string;
  readonly trailers?: readonly string[];
}

/** A call as a handler sees it. It ends once; what a handler says later only counts. */
export class FakeCall implements ServerCall {
  readonly path: string;
  readonly metadata: Metadata;
  readonly deadlineMs = Number.POSITIVE_INFINITY;
  readonly peer = "127.0.0.1:1";
  readonly peerName = undefined;
  siblings = 1;
  cancelled = false;
  writable = true;
  queuedBytes = 0;
  readonly messages: Buffer[] = [];
  ending: Ending | undefined = undefined;
  /** How often the handler has ended the call, cancelled or not. */
  endings = 0;
  handler: StreamHandler | undefined = undefined;
  onReplyDrain: (() => void) | undefined = undefined;
  readonly #parts: Buffer[] = [];
  #left = 0;

  constructor(path: string, metadata: readonly string[] = []) {
    this.path = path;
    this.metadata = metadata.length === 0 ? NO_METADATA : new FieldList(metadata);
  }

  reply(bytes: Uint8Array, start: number, end: number): void {
    if (this.ending === undefined && !this.cancelled) {
      this.messages.push(Buffer.from(bytes.slice(start, end)));
    }
    this.#end({ code: 0, message: "" });
  }

  beginReply(size: number, onDrain: () => void): void {
    this.#left = size;
    this.onReplyDrain = onDrain;
  }

  continueReply(bytes: Uint8Array, start: number, end: number): void {
    this.#parts.push(Buffer.from(bytes.slice(start, end)));
    this.#left -= end - start;
    if (this.#left > 0) return;
    const whole = Buffer.concat(this.#parts);
    this.reply(whole, 0, whole.length);
  }

  send(bytes: Uint8Array, start: number, end: number): void {
    if (this.ending !== undefined || this.cancelled) return;
    this.messages.push(Buffer.from(bytes.slice(start, end)));
  }

  finish(): void {
    this.#end({ code: 0, message: "" });
  }

  fail(code: GrpcCode, message: string, trailers: readonly string[] = []): void {
    this.#end({ code, message, ...(trailers.length === 0 ? {} : { trailers }) });
  }

  /** The client goes away. */
  cancel(): void {
    this.cancelled = true;
    this.handler?.onCancel();
  }

  decode<T>(type: MessageType<T>, at = this.messages.length - 1): T {
    const bytes = this.messages[at];
    if (bytes === undefined) throw new Error(`${this.path}: no message ${at}: ${this.text}`);
    return type.decode(bytes, 0, bytes.length);
  }

  decodeAll<T>(type: MessageType<T>): T[] {
    return this.messages.map((bytes) => type.decode(bytes, 0, bytes.length));
  }

  /** "0", "11 etcdserver: …", or "open". */
  get text(): string {
    if (this.ending === undefined) return "open";
    return `${this.ending.code} ${this.ending.message}`.trim();
  }

  #end(ending: Ending): void {
    this.endings++;
    if (!this.cancelled) this.ending ??= ending;
  }
}

export const ELECTION_MS = ELECTION_TICKS * TICK_MS;

const LIMITS: KvLimits = { requestBytesMax: 1.5 * MIB, txnOpsMax: 128 };
const NO_LIMITS: LeaseLimits = { leasesMax: 1000, ttlSecondsMax: 86_400 };

export interface HarnessOptions extends DrivenOptions {
  readonly native?: LeaseLimits;
  /** The group leads, but its first entry is not durable: reads have to wait for it. */
  readonly unconfirmed?: boolean;
  readonly quotaBytes?: number;
}

export class Harness {
  readonly driven: DrivenGroup;
  readonly health: HealthService;
  readonly watch: WatchService;
  readonly lease: LeaseService;
  readonly kv: KvService;
  readonly membership = new FakeMembership();
  readonly admission: Admission;
  readonly auth: Authorizer;
  readonly quota: SpaceQuota;
  /** What the store says of its file. */
  readonly size = { bytes: 4096, inUse: 1024 };
  readonly logged: string[] = [];
  readonly methods = new Map<string, Method>();

  constructor(options: HarnessOptions = {}) {
    const driven = new DrivenGroup(options);
    driven.group.start();
    if (options.unconfirmed === true)
      driven.log.sync(2); // the founding, and our vote for us
    else driven.settle();
    this.driven = driven;
    const { group, turn, clock, random } = driven;
    const identity = { clusterId: CLUSTER, memberId: MEMBER };
    this.health = new HealthService(["etcdserverpb.KV"]);
    const tokens = new SimpleTokens(clock, 300);
    const auth = new Authorizer({ group, tokens, clientCertAuth: false, clock, turn });
    this.auth = auth;
    driven.onAuth = (change) => auth.onAuth(change);
    this.watch = new WatchService({
      ...{ hub: group.hub, identity, auth },
      get term() {
        return group.term;
      },
      wakeHub: () => group.wakeHub(),
    });
    const native = options.native ?? NO_LIMITS;
    const grants = { group, identity, clock, random, ttlSecondsMin: 2 };
    this.lease = new LeaseService({ ...grants, native, auth });
    this.kv = new KvService({ group, identity, turn, auth, limits: LIMITS });
    this.admission = new Admission({
      group,
      memberId: MEMBER,
      electionMs: ELECTION_MS,
      onCorrupt: () => {
        this.watch.close(new AetherError("corrupt"));
        this.lease.close(new AetherError("corrupt"));
      },
    });
    const { membership, size } = this;
    const sizes = { sizeBytes: () => size.bytes, sizeInUseBytes: () => size.inUse };
    const quotaBytes = options.quotaBytes ?? 0;
    const log = loggingTo(this.logged);
    this.quota = new SpaceQuota({ group, memberId: MEMBER, quotaBytes, ...sizes, clock, log });
    const all = [
      ...this.kv.methods(),
      ...this.watch.methods(),
      ...this.lease.methods(),
      ...authMethods({ group, identity, auth, tokens, passwords: new Passwords(4), log }),
      ...this.health.methods(),
      ...reflectionMethods(["etcdserverpb.KV"]),
      ...clusterMethods({ group, identity, membership }),
      ...maintenanceMethods({
        ...{ group, identity, membership },
        hashes: new HashQueue({ group, turn }),
        ...sizes,
        quotaBytes,
      }),
    ];
    for (const method of this.admission.guard(auth.guard(this.quota.guard(all)))) {
      this.methods.set(method.path, method);
    }
  }

  /** Opens a stream, or starts a unary call with these bytes, and lets nothing else happen. */
  start(
    path: string,
    bytes: Uint8Array = new Uint8Array(0),
    metadata: readonly string[] = [],
  ): FakeCall {
    const method = this.methods.get(path);
    if (method === undefined) throw new Error(`${path} is not served`);
    const call = new FakeCall(path, metadata);
    if ("stream" in method) {
      guarded(call, () => {
        call.handler = method.stream(call);
      });
    } else guarded(call, () => method.unary(call, bytes, 0, bytes.length));
    return call;
  }

  /** A whole call: one request, and everything that follows from it. */
  call<T>(
    path: string,
    type: MessageType<T>,
    partial: Partial<T> = {},
    metadata: readonly string[] = [],
  ): FakeCall {
    const method = this.methods.get(path);
    const bytes = bytesOfMessage(type, partial);
    const call = this.start(path, bytes, metadata);
    if (method !== undefined && "stream" in method) {
      this.say(call, bytes);
      guarded(call, () => call.handler?.onHalfClose());
    }
    this.driven.settle();
    return call;
  }

  /** One message of the client on a stream, as the wire hands it over. */
  say(call: FakeCall, bytes: Uint8Array): void {
    if (call.ending !== undefined || call.cancelled) return;
    guarded(call, () => call.handler?.onMessage(bytes, 0, bytes.length));
  }

  tell<T>(call: FakeCall, type: MessageType<T>, partial: Partial<T>): void {
    this.say(call, bytesOfMessage(type, partial));
    this.driven.settle();
  }

  halfClose(call: FakeCall): void {
    if (call.ending === undefined) guarded(call, () => call.handler?.onHalfClose());
    this.driven.settle();
  }
}

export function loggingTo(lines: string[]): Log {
  const line = (text: string, fields: LogFields = {}): void => {
    const rest = Object.entries(fields).map(([name, value]) => `${name}=${value}`);
    lines.push([text, ...rest].join(" "));
  };
  return { trace: line, debug: line, info: line, warn: line, error: line };
}

export function bytesOfMessage<T>(type: MessageType<T>, partial: Partial<T>): Uint8Array {
  const out = new ByteWriter();
  type.encode(type.create(partial), out);
  return out.copy();
}

/** What the wire does with what a handler throws. */
function guarded(call: FakeCall, run: () => void): void {
  try {
    run();
  } catch (error) {
    const failure = expectedFailure(error);
    if (failure === undefined) throw error;
    call.fail(failure.code, failure.message, failure.trailers);
  }
}
