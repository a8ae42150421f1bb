/** Why a request is refused before any handler sees it. */

/** The status to answer with; the connection is closed after it, for its framing is in doubt. */
export class HttpFault extends Error {
  override readonly name = "HttpFault";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}
