/**
 * The one failure of every decoder in this room: the bytes (or the JSON) are not a message of the
 * type asked for. It is the sender's fault, so it is typed and never an assertion.
 */

/** Bytes or JSON that are no such message; the text says what is wrong, never what was in it. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
}
