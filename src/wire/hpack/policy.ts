/**
 * Which fields are worth a place in the table. Indexing pays for a field that comes again with
 * the same value; one that varies would push out those that repeat, and would change the table at
 * each message, so that no block is ever the same twice (both sides cache whole blocks).
 */

/** index: enters the table. plain: does not. never: does not, at any hop either (§6.2.3). */
export type Indexing = "index" | "plain" | "never";

/**
 * Secrets, short and guessable ones among them, are never indexed: a table shared by several
 * users of one connection tells by its size whether a guess was right (RFC 7541 §7.1).
 * `token` is where etcd's clients put theirs.
 */
const NEVER = ["authorization", "proxy-authorization", "token", "cookie", "set-cookie"];

/** Fields that differ from message to message. */
const VARYING = [
  "content-length",
  "date",
  "etag",
  "grpc-message",
  "grpc-status-details-bin",
  "grpc-tags-bin",
  "grpc-timeout",
  "grpc-trace-bin",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "last-modified",
  "location",
  "traceparent",
  "tracestate",
  "x-request-id",
];

const BY_NAME = new Map<string, Indexing>();
for (const name of VARYING) BY_NAME.set(name, "plain");
for (const name of NEVER) BY_NAME.set(name, "never");

/** The policy for a field of this name; names that it does not know are taken to repeat. */
export function fieldIndexing(name: string): Indexing {
  return BY_NAME.get(name) ?? "index";
}
