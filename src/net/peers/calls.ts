/**
 * Small questions and answers between members: unary calls on the control lane's connection. An
 * expected failure travels as its code in a trailer and its detail as the message.
 */
import { ByteWriter, EMPTY_BYTES } from "../../base/bytes.ts";
import { AetherError } from "../../base/errors.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import { AetherPeer, type ChallengePeerResponse } from "../../proto/gen/aether.v1.ts";
import type { MethodType } from "../../proto/message.ts";
import type { ClientCallHandler } from "../../wire/grpc/client-call.ts";
import type { GrpcClientConnection } from "../../wire/grpc/client-connection.ts";
import { encodeBinary, type Metadata } from "../../wire/grpc/metadata.ts";
import type { Method, ServerCall, StreamHandler } from "../../wire/grpc/server-call.ts";
import { GrpcCode, grpcCodeName } from "../../wire/grpc/status.ts";
import { type Admitted, openSeal } from "./admission.ts";
import { ERROR_FIELD, ERROR_SEAL_FIELD, errorOf, sealedText } from "./error-text.ts";
import type { PeerCallHandlers } from "./ports.ts";
import type { CallerSession } from "./proofs.ts";
import { PeerRefusal } from "./refusal.ts";
import { BROKEN, type CallSeals } from "./seal.ts";

/** Fails a call the way that callPeer() reads. */
export function failCall(call: ServerCall, { code, detail }: AetherError, seals?: CallSeals): void {
  const trailers = [ERROR_FIELD, code];
  const seal = seals?.sealFailure(sealedText(code, detail));
  if (seal !== undefined) trailers.push(ERROR_SEAL_FIELD, encodeBinary(seal));
  call.fail(GrpcCode.FAILED_PRECONDITION, detail, trailers);
}

/** How a call ended. */
interface End {
  readonly code: GrpcCode;
  readonly message: string;
  readonly trailers: Metadata;
}

/** What a call that failed means. A failure that is not sealed says only that it failed. */
function failureOf({ code, message, trailers }: End, seals: CallSeals | undefined): AetherError {
  const named = trailers.get(ERROR_FIELD);
  if (named !== undefined) {
    const seal = trailers.binary(ERROR_SEAL_FIELD) ?? EMPTY_BYTES;
    const isBelieved = seals?.fitsFailure(seal, sealedText(named, message)) ?? true;
    return isBelieved ? errorOf(named, message) : new AetherError("unhealthy", UNSEALED);
  }
  if (code === GrpcCode.DEADLINE_EXCEEDED) return new AetherError("timeout", message);
  return new AetherError("unhealthy", `${grpcCodeName(code)}: ${message}`);
}

/** Who may come in; others make it throw PeerRefusal. */
type Admit = (call: ServerCall) => Pick<Admitted, "seals">;

/** Whom the calls are answered to. */
export interface Admits {
  readonly member: Admit;
  readonly guest: Admit;
  /** Our part of the key of the caller's connection. Throws PeerRefusal or DecodeError. */
  readonly challenge: (call: ServerCall, nonce: Uint8Array) => ChallengePeerResponse;
}

/** Answers calls of members, and Members to guests too, by `handlers`. */
export function callMethods(handlers: PeerCallHandlers, admits: Admits): Method[] {
  const { LeaseRenew, LeaseRemaining, MemberInfo, HashKV, MemberChange, Members } = AetherPeer;
  const { member, guest, challenge } = admits;
  return [
    challengeMethod(challenge),
    unary(LeaseRenew, member, (request) => handlers.leaseRenew(request)),
    unary(LeaseRemaining, member, (request) => handlers.leaseRemaining(request)),
    unary(MemberInfo, member, (request) => handlers.memberInfo(request)),
    unary(HashKV, member, (request) => handlers.hashKv(request)),
    unary(MemberChange, member, (request) => handlers.memberChange(request)),
    unary(Members, guest, (request) => handlers.members(request)),
  ];
}

function unary<Request, Response>(
  type: MethodType<Request, Response>,
  admit: Admit,
  handle: (request: Request) => Response | Promise<Response>,
): Method {
  const answer = async (
    call: ServerCall,
    request: Request,
    seals: CallSeals | undefined,
  ): Promise<void> => {
    try {
      const response = await handle(request);
      reply(call, type, response, seals);
    } catch (error) {
      if (!(error instanceof AetherError)) throw error; // our own mistake: nobody may catch it
      failCall(call, error, seals);
    }
  };
  return {
    path: type.path,
    // A stream of one message: a stranger is refused at its head, before a byte of it is kept.
    stream: (call) => {
      let handler = IGNORING;
      refusing(call, () => {
        const { seals } = admit(call);
        handler = oneMessage(call, (bytes, start, end) => {
          const messageEnd = openSeal(seals, bytes, start, end);
          void answer(call, type.request.decode(bytes, start, messageEnd), seals);
        });
      });
      return handler;
    },
  };
}

function oneMessage(call: ServerCall, take: StreamHandler["onMessage"]): StreamHandler {
  let isTaken = false;
  return {
    ...IGNORING,
    onMessage(bytes, start, end) {
      if (isTaken) return;
      isTaken = true;
      refusing(call, () => take(bytes, start, end));
    },
    onHalfClose() {
      if (!isTaken) call.fail(GrpcCode.INVALID_ARGUMENT, "a call without its message");
    },
  };
}

/** Asked of whoever comes, so that its message has a time limit, as those of clients have. */
function challengeMethod(challenge: Admits["challenge"]): Method {
  const type = AetherPeer.Challenge;
  return {
    path: type.path,
    unary: (call, bytes, start, end) => {
      refusing(call, () => {
        const { nonce } = type.request.decode(bytes, start, end);
        reply(call, type, challenge(call, nonce), undefined);
      });
    },
  };
}

function reply<Response>(
  call: ServerCall,
  type: { readonly response: MethodType<unknown, Response>["response"] },
  response: Response,
  seals: CallSeals | undefined,
): void {
  const out = new ByteWriter(256);
  type.response.encode(response, out);
  seals?.seal(out);
  call.reply(out.bytes, 0, out.length);
}

/** Takes a call; whoever may not come in, or says nonsense, is told so. */
function refusing(call: ServerCall, take: () => void): void {
  try {
    take();
  } catch (error) {
    if (error instanceof PeerRefusal) call.fail(error.code, error.message, error.trailers);
    else if (error instanceof DecodeError) call.fail(GrpcCode.INVALID_ARGUMENT, error.message);
    else throw error;
  }
}

/** A connection to a member, and what proves there that we are one. */
export interface CallerEnd {
  readonly grpc: GrpcClientConnection;
  /** Undefined where there is no secret. */
  readonly session?: CallerSession | undefined;
}

/** One call at the other end, over at `deadlineMs`. Rejects with AetherError only. */
export function callPeer<Request, Response>(
  { grpc, session }: CallerEnd,
  type: MethodType<Request, Response>,
  fields: readonly string[],
  request: Request,
  deadlineMs: number,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const begun = session?.begin(type.path, fields);
  const seals = begun?.seals;
  let response: Response | undefined;
  const handler: ClientCallHandler = {
    onHeaders: ignore,
    onDrain: ignore,
    onMessage(bytes, start, end) {
      const messageEnd = seals === undefined ? end : seals.open(bytes, start, end);
      if (messageEnd === BROKEN) {
        reject(new AetherError("unhealthy", UNSEALED));
        return;
      }
      try {
        response = type.response.decode(bytes, start, messageEnd);
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        reject(new AetherError("unhealthy", "the answer makes no sense", { cause: error }));
      }
    },
    onEnd(code, message, trailers) {
      if (code !== GrpcCode.OK) reject(failureOf({ code, message, trailers }, seals));
      else if (response === undefined) reject(new AetherError("unhealthy", "an empty answer"));
      else resolve(response);
    },
  };
  const out = new ByteWriter(256);
  type.request.encode(request, out);
  seals?.seal(out);
  const call = grpc.call(type.path, begun?.fields ?? fields, deadlineMs, handler);
  call.send(out.bytes, 0, out.length);
  call.halfClose();
  return promise;
}

/** Why an answer is not believed. */
export const UNSEALED =
  "the peer's answer is not sealed with the cluster secret: it is no member, or somebody between " +
  "the members changes what they say";

/** What is left of a call that was refused. */
export const IGNORING: StreamHandler = {
  onMessage: ignore,
  onHalfClose: ignore,
  onCancel: ignore,
  onDrain: ignore,
};

function ignore(): void {}
