/**
 * Who asks, and may he? Around every method stands this gate, which knows by a table
 * (authorize-table.ts) what each RPC needs; a method without a row is not served at all. While auth
 * is off it costs one look at a flag.
 *
 * Where permissions of keys decide, the gate only sees to it that the caller is somebody; what he
 * may do is judged where the state is as new as the answer: by the machine when a command is
 * applied (state/auth/judge.ts), by the handlers of reads once the machine may be read. So a
 * change of permissions holds at once, at whichever member a call comes in.
 *
 * A caller shows a token (metadata `token`, or `authorization` with or without "Bearer "), or, with
 * client certificates, is who its certificate names. A token that comes through the log may be
 * newer than what this member has applied: such a call waits until it is not.
 */
import { AetherError } from "../base/errors.ts";
import type { Clock } from "../base/ports.ts";
import { type Turn, TurnPhase } from "../base/turn.ts";
import { AlarmType, type TxnRequest } from "../proto/gen/etcdserverpb.ts";
import { checkKeys, checkLease, checkRoot, checkTxn } from "../state/auth/authorize.ts";
import type { Caller } from "../state/auth/caller.ts";
import type { NamedRange } from "../state/auth/key-ranges.ts";
import type { CommandKind } from "../state/command.ts";
import { hasCost } from "../state/cost.ts";
import type { StateMachine } from "../state/machine.ts";
import type { AuthChange } from "../state/results.ts";
import type {
  Method,
  ServerCall,
  StreamHandler,
  StreamMethod,
  UnaryMethod,
} from "../wire/grpc/server-call.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import { guarded } from "./answer.ts";
import { type AuthRow, rowOf } from "./authorize-table.ts";
import { textOf } from "./errors.ts";
import { HeldRequests } from "./held-requests.ts";
import { KnownCallers } from "./known-callers.ts";
import { LateStream } from "./late-stream.ts";
import type { Tokens } from "./tokens.ts";

/** How long a call waits for the entry that made its token known: etcd's request timeout. */
const TOKEN_WAIT_MS = 5000;

/** Calls that wait for their tokens; more are refused at once. */
const WAITING_MAX = 1000;

export interface AuthorizerParts {
  /** Another machine after a snapshot was installed. */
  readonly group: { readonly machine: StateMachine; readonly appliedIndex: number };
  readonly tokens: Tokens;
  /** A verified client certificate tells who asks (etcd's --client-cert-auth). */
  readonly clientCertAuth: boolean;
  /** Nobody is served until somebody has made users here: auth is about to begin. */
  readonly mustBegin?: boolean;
  readonly clock: Clock;
  readonly turn: Turn;
}

/** Lets a call go on that had to wait, or throws the refusal; runs once. */
type Go = (refusal?: AetherError) => void;

/** A call whose token this member has not heard of yet. */
interface WaitingCall {
  readonly index: number;
  readonly untilMs: number;
  readonly go: () => void;
}

export class Authorizer {
  readonly held = new HeldRequests();
  readonly #parts: AuthorizerParts;
  /** Tokens belong to the state that they were given by. */
  #machine: StateMachine;
  /** By token; whom a certificate names is no work to find out. */
  readonly #known = new KnownCallers();
  #waiting: WaitingCall[] = [];
  #armed = false;
  readonly #runWaiting = (): void => this.#resume();

  constructor(parts: AuthorizerParts) {
    this.#parts = parts;
    this.#machine = parts.group.machine;
  }

  get enabled(): boolean {
    return this.#parts.group.machine.auth.enabled;
  }

  /**
   * On whose behalf a call is: what Group.propose() is given with it. Nobody while auth is off, and
   * undefined for who shows nothing. Throws invalid_auth_token for a token that is nobody's.
   */
  callerOf(call: ServerCall): Caller | undefined {
    return this.enabled ? this.#identify(call) : undefined;
  }

  /** Throws unless the caller may read the whole range; for use when the machine may be read. */
  checkRead(call: ServerCall, range: NamedRange): void {
    if (this.enabled) checkKeys(this.#question(call), "read", range);
  }

  /** The auth revision by which rights are judged now; 0 while auth is off. */
  get rules(): number {
    const { auth } = this.#parts.group.machine;
    return auth.enabled ? auth.revision : 0;
  }

  /** Why this user, or nobody, may not read the range by the rules of now; undefined: he may. */
  refusalToRead(user: string | undefined, range: NamedRange): AetherError | undefined {
    const { auth } = this.#parts.group.machine;
    if (!auth.enabled) return undefined;
    if (user === undefined) return new AetherError("user_empty");
    return auth.allows(user, "read", range) ? undefined : new AetherError("permission_denied");
  }

  /** As checkRead(), for everything that a transaction names. */
  checkTxn(call: ServerCall, request: TxnRequest): void {
    if (this.enabled) checkTxn(this.#question(call), request);
  }

  /** Throws unless the caller may read, or write, every key of the lease. */
  checkLease(call: ServerCall, right: "read" | "write", id: bigint): void {
    if (!this.enabled) return;
    const question = this.#question(call);
    if (question.caller === undefined) throw new AetherError("user_empty");
    checkLease(question, right, id);
  }

  /** Throws unless the caller has the role root. */
  checkRoot(call: ServerCall): void {
    if (this.enabled) checkRoot(this.#question(call));
  }

  /** What a check throws, for calls that go on with something else. */
  refusalOf(check: () => void): AetherError | undefined {
    if (!this.enabled) return undefined;
    try {
      check();
    } catch (error) {
      if (error instanceof AetherError) return error;
      throw error;
    }
    return undefined;
  }

  /** The same methods, behind the gate. Every one must have a row. */
  guard(methods: readonly Method[]): Method[] {
    return methods.map((method) => {
      const row = rowOf(method.path);
      if (row.needs === "nothing") return method;
      return "unary" in method ? this.#guardUnary(method, row) : this.#guardStream(method, row);
    });
  }

  /** Tokens were given or are void: to be told of every change that is applied here. */
  onAuth(change: AuthChange): void {
    this.#parts.tokens.onChange(change);
    if (change.of !== "token") this.#known.forget();
    if (this.#waiting.length > 0) this.#arm();
  }

  /** To be called with each tick of the group. */
  tick(): void {
    this.#notice();
    this.#parts.tokens.tick();
    this.#known.forget();
    if (this.#waiting.length > 0) this.#resume();
  }

  #guardUnary({ path, unary }: UnaryMethod, row: AuthRow): UnaryMethod {
    const gated = (call: ServerCall, bytes: Uint8Array, start: number, end: number): void => {
      const refusal = this.refusalOf(() => this.#admit(call, row, bytes, start, end));
      if (refusal === undefined) unary(call, bytes, start, end);
      else if (row.losesCode === true) call.fail(GrpcCode.UNKNOWN, textOf(refusal));
      else throw refusal;
    };
    return {
      path,
      unary: (call, bytes, start, end) => {
        if (!this.enabled) {
          this.#requireBegun();
          unary(call, bytes, start, end);
          return;
        }
        const isWaiting = this.#isWaiting(call, () => {
          const copy = this.held.hold(bytes, start, end); // the wire takes its buffer back
          return (refusal) => {
            this.held.release(copy);
            if (refusal !== undefined) throw refusal;
            gated(call, copy, 0, copy.length);
          };
        });
        if (!isWaiting) gated(call, bytes, start, end);
      },
    };
  }

  #guardStream({ path, stream }: StreamMethod, row: AuthRow): StreamMethod {
    return {
      path,
      stream: (call) => {
        if (!this.enabled) {
          this.#requireBegun();
          return stream(call);
        }
        const open = (): StreamHandler => {
          const token = tokenOf(call);
          if (token !== undefined) this.#parts.tokens.hold(token, call);
          if (row.needs === "root") checkRoot(this.#question(call));
          return stream(call);
        };
        const late = new LateStream(call, open, this.held);
        return this.#isWaiting(call, () => (refusal) => late.open(refusal)) ? late : open();
      },
    };
  }

  /** A cluster that begins with auth is never without it, not even before its first command. */
  #requireBegun(): void {
    if (this.#parts.mustBegin !== true || !this.#parts.group.machine.auth.isUntouched) return;
    throw new AetherError("unhealthy", "this cluster is about to begin with auth");
  }

  /** What of a request is wrong whoever asks is said first, as etcd does. */
  #admit(call: ServerCall, row: AuthRow, bytes: Uint8Array, start: number, end: number): void {
    try {
      const caller = this.#identify(call);
      const needs = typeof row.needs === "function" ? row.needs(bytes, start, end) : row.needs;
      if (needs === "valid token") return;
      if (needs === "root") checkRoot(this.#questionOf(caller));
      else if (caller === undefined) {
        const { kind } = row;
        const lacksRoom = kind !== undefined && this.#lacksRoom(kind, bytes, start, end);
        throw new AetherError(lacksRoom ? "no_space" : "user_empty");
      } else if (this.#machine.auth.user(caller.user) === undefined) {
        throw new AetherError("permission_denied", "the certificate names nobody of this cluster");
      }
    } catch (error) {
      row.validate?.(bytes, start, end);
      throw error;
    }
  }

  /** etcd asks who it is when it applies, after it has looked for room. */
  #lacksRoom(kind: CommandKind, bytes: Uint8Array, start: number, end: number): boolean {
    const { machine } = this.#parts.group;
    return machine.hasAlarm(AlarmType.NOSPACE) && hasCost(kind, bytes, start, end);
  }

  #question(call: ServerCall): ReturnType<StateMachine["question"]> {
    return this.#questionOf(this.#identify(call));
  }

  #questionOf(caller: Caller | undefined): ReturnType<StateMachine["question"]> {
    return this.#parts.group.machine.question(caller);
  }

  #identify(call: ServerCall): Caller | undefined {
    this.#notice();
    const { auth } = this.#machine;
    const known = this.#known.find(call.metadata, auth);
    if (known !== undefined) return known;
    const token = tokenOf(call);
    if (token !== undefined) {
      const caller = this.#parts.tokens.callerOf(token, auth, call);
      if (caller === undefined) throw new AetherError("invalid_auth_token");
      this.#known.remember(call.metadata, auth, caller);
      return caller;
    }
    const { peerName } = call;
    const isNamed = this.#parts.clientCertAuth && peerName !== undefined && !isProxied(call);
    return isNamed ? { user: peerName, authRevision: auth.revision } : undefined;
  }

  /** A snapshot took the state's place: users may have lost what their tokens stand for. */
  #notice(): void {
    const { machine } = this.#parts.group;
    if (machine === this.#machine) return;
    this.#machine = machine;
    this.#parts.tokens.clear();
  }

  /**
   * Whether the call shows a token that cannot be judged yet: it has to be verified, or it is of an
   * entry that is not applied here. Then what `makeGo` returns runs as soon as it can be.
   */
  #isWaiting(call: ServerCall, makeGo: () => Go): boolean {
    if (this.#known.find(call.metadata, this.#parts.group.machine.auth) !== undefined) return false;
    const token = tokenOf(call);
    if (token === undefined) return false;
    const { tokens } = this.#parts;
    const proof = tokens.prove(token, this.#parts.group.machine.auth);
    if (proof === undefined) {
      if (!this.#isAhead(token)) return false;
      this.#wait(call, token, makeGo());
      return true;
    }
    const go = makeGo();
    void proof.then(() => {
      if (this.#isAhead(token)) this.#wait(call, token, go);
      else guarded(call, go);
    });
    return true;
  }

  #isAhead(token: string): boolean {
    const index = this.#parts.tokens.indexOf(token);
    return index !== undefined && index > this.#parts.group.appliedIndex;
  }

  #wait(call: ServerCall, token: string, go: Go): void {
    const index = this.#parts.tokens.indexOf(token) ?? 0;
    if (this.#waiting.length >= WAITING_MAX) {
      guarded(call, () => go(new AetherError("too_many_requests", "too many calls wait")));
      return;
    }
    const untilMs = this.#parts.clock.monotonicMs() + TOKEN_WAIT_MS;
    this.#waiting.push({ index, untilMs, go: () => guarded(call, go) });
  }

  /** Not while entries are being applied: the calls that go on look at the machine. */
  #arm(): void {
    if (this.#armed) return;
    this.#armed = true;
    this.#parts.turn.after(TurnPhase.PROPOSE, this.#runWaiting);
  }

  /** Lets calls go on whose token is known now, or will never be. */
  #resume(): void {
    this.#armed = false;
    const nowMs = this.#parts.clock.monotonicMs();
    const { appliedIndex } = this.#parts.group;
    const isDue = ({ index, untilMs }: WaitingCall): boolean =>
      index <= appliedIndex || untilMs <= nowMs;
    const due = this.#waiting.filter(isDue);
    this.#waiting = this.#waiting.filter((each) => !isDue(each));
    for (const { go } of due) go();
  }
}

/** The first token that is shown: `token` goes before `authorization`. */
function tokenOf(call: ServerCall): string | undefined {
  const shown = firstOf(call, "token") ?? firstOf(call, "authorization");
  return shown?.startsWith("Bearer ") === true ? shown.slice("Bearer ".length) : shown;
}

function firstOf({ metadata: { fields } }: ServerCall, name: string): string | undefined {
  for (let at = 0; at < fields.length; at += 2) if (fields[at] === name) return fields[at + 1];
  return undefined;
}

/** Passed on by a gateway, whose certificate is not the client's (etcd's rule). */
function isProxied(call: ServerCall): boolean {
  return call.metadata.get("grpcgateway-accept") !== undefined;
}
