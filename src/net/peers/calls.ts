/**
 * Small questions and answers between members: unary calls on the control lane's connection. An
 * expected failure travels as its code in a trailer and its detail as the message.
 */
import { ByteWriter } from "../../base/bytes.ts";
import { AetherError } from "../../base/errors.ts";
import { DecodeError } from "../../proto/decode-error.ts";
import { AetherPeer } from "../../proto/gen/aether.v1.ts";
import type { MethodType } from "../../proto/message.ts";
import type { ClientCallHandler } from "../../wire/grpc/client-call.ts";
import type { GrpcClientConnection } from "../../wire/grpc/client-connection.ts";
import type { Metadata } from "../../wire/grpc/metadata.ts";
import type { Method, ServerCall } from "../../wire/grpc/server-call.ts";
import { GrpcCode, grpcCodeName } from "../../wire/grpc/status.ts";
import { PeerRefusal } from "./admission.ts";
import { ERROR_FIELD, errorOf } from "./error-text.ts";
import type { PeerCallHandlers } from "./ports.ts";

/** Fails a call the way that callPeer() reads. */
export function failCall(call: ServerCall, error: AetherError): void {
  call.fail(GrpcCode.FAILED_PRECONDITION, error.detail, [ERROR_FIELD, error.code]);
}

/** What a call that ended with `code` means. */
export function failureOf(code: GrpcCode, message: string, trailers: Metadata): AetherError {
  const named = trailers.get(ERROR_FIELD);
  if (named !== undefined) return errorOf(named, message);
  if (code === GrpcCode.DEADLINE_EXCEEDED) return new AetherError("timeout", message);
  return new AetherError("unhealthy", `${grpcCodeName(code)}: ${message}`);
}

/** Who may come in; others make it throw PeerRefusal. */
type Admit = (call: ServerCall) => void;

/** Answers calls of members, and Members to guests too, by `handlers`. */
export function callMethods(
  handlers: PeerCallHandlers,
  admit: { readonly member: Admit; readonly guest: Admit },
): Method[] {
  const { LeaseRenew, LeaseRemaining, MemberInfo, HashKV, MemberChange, Members } = AetherPeer;
  const { member, guest } = admit;
  return [
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
  const answer = async (call: ServerCall, request: Request): Promise<void> => {
    try {
      const response = await handle(request);
      const out = new ByteWriter(256);
      type.response.encode(response, out);
      call.reply(out.bytes, 0, out.length);
    } catch (error) {
      if (!(error instanceof AetherError)) throw error; // our own mistake: nobody may catch it
      failCall(call, error);
    }
  };
  return {
    path: type.path,
    unary: (call, bytes, start, end) => {
      try {
        admit(call);
        void answer(call, type.request.decode(bytes, start, end));
      } catch (error) {
        if (error instanceof PeerRefusal) call.fail(error.code, error.message, error.trailers);
        else if (error instanceof DecodeError) {
          call.fail(GrpcCode.INVALID_ARGUMENT, error.message);
        } else throw error;
      }
    },
  };
}

/** One call on `grpc`, over at `deadlineMs`. Rejects with AetherError only. */
export function callPeer<Request, Response>(
  grpc: GrpcClientConnection,
  type: MethodType<Request, Response>,
  fields: readonly string[],
  request: Request,
  deadlineMs: number,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  let response: Response | undefined;
  const handler: ClientCallHandler = {
    onHeaders: ignore,
    onDrain: ignore,
    onMessage(bytes, start, end) {
      try {
        response = type.response.decode(bytes, start, end);
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error;
        reject(new AetherError("unhealthy", "the answer makes no sense", { cause: error }));
      }
    },
    onEnd(code, message, trailers) {
      if (code !== GrpcCode.OK) reject(failureOf(code, message, trailers));
      else if (response === undefined) reject(new AetherError("unhealthy", "an empty answer"));
      else resolve(response);
    },
  };
  const out = new ByteWriter(256);
  type.request.encode(request, out);
  const call = grpc.call(type.path, fields, deadlineMs, handler);
  call.send(out.bytes, 0, out.length);
  call.halfClose();
  return promise;
}

function ignore(): void {}
