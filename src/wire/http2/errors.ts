/** A peer's breach of HTTP/2. Thrown and caught inside this room only. */
import type { Http2Code } from "./protocol.ts";

/** Ends the connection with GOAWAY (RFC 9113 §5.4.1). `message` becomes its debug data. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly code: Http2Code;

  constructor(code: Http2Code, message: string) {
    super(message);
    this.code = code;
  }
}
