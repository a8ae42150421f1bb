/** One try of a unary call: request out, one message and a status in, a promise settled. */
import { DecodeError } from "../proto/decode-error.ts";
import type { MessageType } from "../proto/message.ts";
import type { ClientCall, ClientCallHandler } from "../wire/grpc/client-call.ts";
import type { Metadata } from "../wire/grpc/metadata.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import { GrpcError } from "./grpc-error.ts";

export class UnaryCall<Response> implements ClientCallHandler {
  /** Set by whoever starts the call, right after. */
  call: ClientCall | undefined;
  readonly #type: MessageType<Response>;
  readonly #resolve: (response: Response) => void;
  readonly #reject: (error: GrpcError) => void;
  #response: Response | undefined;
  #fault: GrpcError | undefined;

  constructor(
    type: MessageType<Response>,
    resolve: (response: Response) => void,
    reject: (error: GrpcError) => void,
  ) {
    this.#type = type;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onHeaders(): void {}

  onMessage(bytes: Uint8Array, start: number, end: number): void {
    if (this.#response !== undefined) {
      this.#fault = new GrpcError(GrpcCode.INTERNAL, "two answers to a unary call");
      return;
    }
    try {
      this.#response = this.#type.decode(bytes, start, end);
    } catch (error) {
      this.#fault = undecodable(error, this.#type.typeName);
    }
  }

  onEnd(code: GrpcCode, message: string, trailers: Metadata): void {
    if (code !== GrpcCode.OK) {
      const unprocessed = this.call?.unprocessed === true;
      this.#reject(new GrpcError(code, message, { trailers, unprocessed }));
    } else if (this.#fault !== undefined) {
      this.#reject(this.#fault);
    } else if (this.#response === undefined) {
      this.#reject(new GrpcError(GrpcCode.INTERNAL, "no answer to a unary call", { trailers }));
    } else {
      this.#resolve(this.#response);
    }
  }

  onDrain(): void {}
}

/** The error of an answer that is no message of its type. Anything but DecodeError is our fault. */
export function undecodable(error: unknown, typeName: string): GrpcError {
  if (!(error instanceof DecodeError)) throw error;
  return new GrpcError(GrpcCode.INTERNAL, `not a ${typeName}: ${error.message}`, { cause: error });
}
