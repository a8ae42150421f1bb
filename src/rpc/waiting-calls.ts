/**
 * Calls that wait for as long as their clients do (a lock, a victory, the next leader): each runs
 * one operation of coord/, which is told when its client has gone, or when this member ends.
 *
 * How they fail is etcd's way: there these services are clients of the server that they stand in,
 * and what a client is told has lost its code on the way. So every failure is UNKNOWN, with the
 * right text, except for those that are not the operation's.
 */
import { AetherError } from "../base/errors.ts";
import type { KeyChanges, Participant } from "../coord/ports.ts";
import type { Group } from "../node/group.ts";
import type { ServerCall } from "../wire/grpc/server-call.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import { fail } from "./answer.ts";
import type { Authorizer } from "./authorize.ts";
import { callerKeys } from "./caller-keys.ts";
import { textOf } from "./errors.ts";
import type { Identity } from "./headers.ts";
import type { GrantParts } from "./lease-grant.ts";
import { failProposal } from "./refused-proposal.ts";

/** Calls that may wait at once, over all clients: about 300 MB of them. */
export const WAITING_CALLS_MAX = 100_000;

/** Failures of the call, rather than of what it asked for. */
const OF_THE_CALL: ReadonlySet<string> = new Set(["canceled", "stopped", "corrupt"]);

export interface CoordinationBackend extends GrantParts {
  readonly group: Group & KeyChanges;
  readonly identity: Identity;
  readonly auth: Authorizer;
}

export class WaitingCalls {
  readonly #backend: CoordinationBackend;
  readonly #open = new Set<AbortController>();
  /** Calls that were refused, and whose the last of them was. */
  refusedCount = 0;
  refusedPeer = "";

  constructor(backend: CoordinationBackend) {
    this.#backend = backend;
  }

  /**
   * Runs an operation, which ends the call itself if it succeeds. Returns what ends it because the
   * client has gone; for a unary call nobody needs to call that.
   */
  run(call: ServerCall, operation: (participant: Participant) => Promise<void>): () => void {
    if (this.#open.size >= WAITING_CALLS_MAX) {
      this.refusedCount++;
      this.refusedPeer = call.peer;
      throw new AetherError("too_many_requests");
    }
    const controller = new AbortController();
    this.#open.add(controller);
    const onGone = (): void => controller.abort(new AetherError("canceled"));
    call.onCancel = onGone;
    if (call.cancelled) onGone(); // while it waited for its token to be known
    const { signal } = controller;
    const keys = callerKeys(this.#backend, this.#backend.auth, call);
    operation({ keys, changes: this.#backend.group, signal })
      .catch((error) => this.#fail(call, error))
      .finally(() => this.#open.delete(controller));
    return onGone;
  }

  /** Ends all of them, and leaves their keys as they are. */
  close(reason: AetherError): void {
    for (const controller of this.#open) controller.abort(reason);
  }

  #fail(call: ServerCall, error: unknown): void {
    if (!(error instanceof AetherError)) throw error;
    if (OF_THE_CALL.has(error.code)) fail(call, error);
    else if (error.code === "not_leader") failProposal(call, this.#backend.group, error);
    else call.fail(GrpcCode.UNKNOWN, textOf(error));
  }
}
