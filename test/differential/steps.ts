/**
 * A sequence as plain data, so that it can be printed, cut down and played again. Nothing in it
 * depends on an answer: what does is said symbolically, and filled in for each side by itself when
 * its turn comes, since ids, tokens and keys of locks differ from server to server.
 */

/** Filled in when a step is run. */
export type Open =
  /** The store's revision, or the last compaction, so many on (or back), at least `min`. */
  | { readonly $: "revision" | "compact"; readonly plus: number; readonly min?: number }
  /** A share (0 to 1) of the way from just before the compaction to just after the present. */
  | { readonly $: "between"; readonly share: number }
  /** A field of an answer that was saved under a name; `otherwise` if that answer was a refusal. */
  | {
      readonly $: "saved";
      readonly name: string;
      readonly path: string;
      readonly otherwise: number | string | object;
    }
  /** This server's own id, or an address of its own. */
  | { readonly $: "own"; readonly what: "member" | "peerUrl" };

export type Value =
  | boolean
  | number
  | string
  | Open
  | readonly Value[]
  | { readonly [name: string]: Value };

export type Body = { readonly [name: string]: Value };

export interface Call {
  readonly do: "call";
  /** "KV/Put". */
  readonly rpc: string;
  /** One for each request on the stream; a unary call has one. */
  readonly bodies: readonly Body[];
  /** The name under which the answer of an Authenticate was saved: its token goes along. */
  readonly token?: string;
  readonly metadata?: { readonly [name: string]: string };
  /** Keeps the answer under this name. */
  readonly save?: string;
  /** Answers of a stream that does not end by itself: so many, then it is cancelled. */
  readonly take?: number;
  /** How long it may wait, if it may wait for nothing. */
  readonly deadlineMs?: number;
  /** Bytes that are no part of the message, appended to it: a field nobody knows. */
  readonly appended?: string;
}

/** Acts on one of the watch streams of a run. */
export type WatchStep =
  | { readonly do: "watch"; readonly stream: number; readonly body: WatchBody }
  | { readonly do: "cancelWatch"; readonly stream: number; readonly watchId: number }
  | { readonly do: "progress"; readonly stream: number };

export interface WatchBody {
  readonly key: string;
  readonly rangeEnd: string;
  readonly startRevision: number | Open;
  readonly filters: readonly number[];
  readonly prevKv: boolean;
  readonly watchId: number;
  readonly fragment: boolean;
  readonly progressNotify: boolean;
}

export type Step =
  | Call
  | WatchStep
  /** Reads sent at once on streams of their own: all answers are known beforehand. */
  | { readonly do: "together"; readonly calls: readonly Call[] }
  /** Writes of different keys sent at once; then the keys and their history are removed. */
  | { readonly do: "race"; readonly keys: readonly string[] }
  /** A call that waits for a later step, such as the second one for a lock. */
  | { readonly do: "begin"; readonly name: string; readonly call: Call }
  | { readonly do: "finish"; readonly name: string };

export const call = (rpc: string, body: Body, more: Partial<Call> = {}): Call => ({
  do: "call",
  rpc,
  bodies: [body],
  ...more,
});
