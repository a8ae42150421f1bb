/**
 * Keys and values: etcd's KV and our AetherKV over the same calls of the group. Handlers decode,
 * check what can be checked without state, then read or propose, and encode the outcome.
 *
 * Reads are linearizable unless the request says serializable. Small ones are answered in one go;
 * a large one is read in slices between turns at one pinned revision, so nobody waits behind it.
 */
import type { Key } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { type Turn, TurnPhase } from "../base/turn.ts";
import { MIB } from "../base/units.ts";
import type { Group } from "../node/group.ts";
import { AetherKV, AetherMaintenance, GetRequest } from "../proto/gen/aether.v1.ts";
import {
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  KV,
  RangeRequest,
  SortOrder,
  SortTarget,
  TxnRequest,
} from "../proto/gen/etcdserverpb.ts";
import { HeaderEncoder } from "../proto/hot/header.ts";
import { PutView } from "../proto/hot/put-view.ts";
import {
  encodeDeleteRangeResponse,
  encodePutResponse,
  encodeRangeResponse,
  putDelimited,
  sizeOfDelimited,
} from "../proto/hot/responses.ts";
import { CommandKind } from "../state/command.ts";
import type { RangeCursor } from "../state/range.ts";
import type { CommandResult, Outcome } from "../state/results.ts";
import { TXN_READ_BYTES_MAX } from "../state/txn.ts";
import {
  checkDeleteRange,
  checkRange,
  checkRangeStream,
  checkTxn,
  isReadOnly,
  isSerializable,
} from "../state/validate.ts";
import type { Method, ServerCall, StreamHandler, UnaryMethod } from "../wire/grpc/server-call.ts";
import { checkSize, decodeRequest, fail, guarded, reply, replyScratch, scratch } from "./answer.ts";
import type { Authorizer } from "./authorize.ts";
import { headerAt, type Identity } from "./headers.ts";
import { LargeRange, PIECE_BYTES, sizeOfKvs } from "./large-range.ts";
import { type LargeRead, LargeReads } from "./large-reads.ts";
import { oneRequest } from "./one-request.ts";
import { RangeStreamSender } from "./range-stream.ts";
import { failProposal } from "./refused-proposal.ts";
import { encodeTxnResult, kvBytesOfTxn } from "./txn-response.ts";

/**
 * A transaction's answer is made in one go and copied twice on its way, so it has to be small
 * beside the memory of the process: a request of two kilobytes can name a store 128 times.
 */
const TXN_ANSWER_BYTES_MAX = TXN_READ_BYTES_MAX;
const TXN_TOO_LARGE =
  "the transaction ran, its answer is over 64 MiB: read large ranges by Range or RangeStream";

/**
 * Keys in the ranges and conditions of a transaction that runs in one go: some 25 ms, in which
 * nobody else is served. The ranges of one that only reads are not counted: it is read in slices.
 */
export const TXN_KEYS_MAX = 50_000;
const TXN_LOOKS_AT_TOO_MUCH =
  "the transaction looks at more than 50,000 keys in one go: read large ranges by Range, or apart";

/**
 * Keys that writing transactions on their way through the log may look at together: they may be
 * applied in one turn, which then takes some 100 ms. Transactions over few keys are not counted.
 */
export const TXN_KEYS_UNDER_WAY_MAX = 4 * TXN_KEYS_MAX;
const TXN_KEYS_FEW = 256;

/** One slice of a read: some hundred microseconds of work. */
const SLICE_KEYS = 1000;
const SLICE_BYTES = 1 * MIB;

export interface KvLimits {
  /** Of one request in its wire form, at most 16 MiB: members must be able to pass it on. */
  readonly requestBytesMax: number;
  /** Of each list of a transaction. */
  readonly txnOpsMax: number;
}

export interface KvBackend {
  readonly group: Group;
  readonly identity: Identity;
  readonly turn: Turn;
  readonly auth: Authorizer;
  readonly limits: KvLimits;
}

/** What is read a slice at a time. */
type SlicedRead = Pick<RangeCursor, "step" | "heldBytes" | "close">;

export class KvService {
  readonly largeReads = new LargeReads();
  readonly #group: Group;
  readonly #identity: Identity;
  readonly #turn: Turn;
  readonly #auth: Authorizer;
  readonly #limits: KvLimits;
  readonly #header: HeaderEncoder;
  readonly #put = new PutView();
  /** What the transactions look at that are counted. */
  #txnKeysUnderWay = 0;
  /** Streams that were begun and had something to send when we looked last. */
  readonly #streams = new Set<RangeStreamSender>();

  constructor({ group, identity, turn, auth, limits }: KvBackend) {
    this.#group = group;
    this.#identity = identity;
    this.#turn = turn;
    this.#auth = auth;
    this.#limits = limits;
    this.#header = new HeaderEncoder(identity.clusterId, identity.memberId);
  }

  methods(): Method[] {
    const range: UnaryMethod["unary"] = (call, bytes, start, end) =>
      this.#onRange(call, decodeRequest(RangeRequest, bytes, start, end));
    const put = this.#onPut.bind(this);
    const deleteRange = this.#onDeleteRange.bind(this);
    const txn = this.#onTxn.bind(this);
    const compact = this.#onCompact.bind(this);
    return [
      { path: KV.Range.path, unary: range },
      { path: KV.RangeStream.path, stream: (call) => this.#onRangeStream(call) },
      { path: KV.Put.path, unary: put },
      { path: KV.DeleteRange.path, unary: deleteRange },
      { path: KV.Txn.path, unary: txn },
      { path: KV.Compact.path, unary: compact },
      { path: AetherKV.Range.path, unary: range },
      { path: AetherKV.Get.path, unary: this.#onGet.bind(this) },
      { path: AetherKV.Put.path, unary: put },
      { path: AetherKV.Delete.path, unary: deleteRange },
      { path: AetherKV.Txn.path, unary: txn },
      { path: AetherMaintenance.Compact.path, unary: compact }, // the same messages
    ];
  }

  /** Ends streams whose clients have stopped reading; call it about once a second or oftener. */
  tick(nowMs: number): void {
    this.largeReads.tick(nowMs);
    for (const stream of this.#streams) {
      if (!stream.idle) stream.tick(nowMs);
      if (stream.idle) this.#streams.delete(stream);
    }
  }

  #onPut(call: ServerCall, bytes: Uint8Array, start: number, end: number): void {
    const put = readPut(this.#put, bytes, start, end);
    if (put.key === "") throw new AetherError("empty_key");
    if (put.ignoreValue && put.valueEnd > put.valueStart) throw new AetherError("value_provided");
    if (put.ignoreLease && put.lease !== 0n) throw new AetherError("lease_provided");
    this.#propose(CommandKind.put, call, bytes, start, end);
  }

  #onDeleteRange(call: ServerCall, bytes: Uint8Array, start: number, end: number): void {
    checkDeleteRange(decodeRequest(DeleteRangeRequest, bytes, start, end));
    this.#propose(CommandKind.deleteRange, call, bytes, start, end);
  }

  #onTxn(call: ServerCall, bytes: Uint8Array, start: number, end: number): void {
    const request = decodeRequest(TxnRequest, bytes, start, end);
    checkTxn(request, this.#limits.txnOpsMax);
    if (!isReadOnly(request)) {
      const keys = this.#keysCounted(call, request);
      this.#propose(CommandKind.txn, call, bytes, start, end, () => {
        this.#txnKeysUnderWay -= keys;
      });
      this.#txnKeysUnderWay += keys;
      return;
    }
    this.#whenReadable(call, isSerializable(request), () => {
      this.#auth.checkTxn(call, request);
      this.#answerReads(call, request);
    });
  }

  /** A transaction that only reads: in one go if it is small, else in slices. */
  #answerReads(call: ServerCall, request: TxnRequest): void {
    const { machine } = this.#group;
    const { compared, read } = machine.costInKeys(request);
    if (compared > TXN_KEYS_MAX) throw new AetherError("answer_too_large", TXN_LOOKS_AT_TOO_MUCH);
    if (read <= SLICE_KEYS) {
      this.#answer(call, machine.readTxn(request));
      return;
    }
    const cursor = machine.openTxn(request);
    this.#inSlices(call, cursor, (held) => {
      held?.end();
      const result = cursor.result();
      cursor.close();
      this.#answer(call, result);
    });
  }

  /**
   * What is written runs in one go at every member: it must not look at a whole store. How much it
   * looks at is told to who may read it: to others it would tell whether there are such keys.
   */
  #keysCounted(call: ServerCall, request: TxnRequest): number {
    const { compared, read } = this.#group.machine.costInKeys(request);
    const keys = compared + read;
    if (keys <= TXN_KEYS_FEW) return 0;
    const refusal = this.#auth.refusalOf(() => this.#auth.checkTxn(call, request));
    if (keys > TXN_KEYS_MAX) {
      throw refusal ?? new AetherError("answer_too_large", TXN_LOOKS_AT_TOO_MUCH);
    }
    if (refusal !== undefined) return 0; // it is judged again, by the rules of then
    if (this.#txnKeysUnderWay + keys > TXN_KEYS_UNDER_WAY_MAX) {
      this.largeReads.refusedCount++;
      throw new AetherError("too_many_requests", "transactions look at too many keys together");
    }
    return keys;
  }

  #onCompact(call: ServerCall, bytes: Uint8Array, start: number, end: number): void {
    const { physical, revision } = decodeRequest(CompactionRequest, bytes, start, end);
    checkSize(start, end);
    const onOutcome = (outcome: Outcome): void => {
      if (outcome instanceof AetherError || !physical) this.#answerOutcome(call, outcome);
      else {
        this.#group.compactor.whenRemoved(revision, (error) =>
          this.#answerOutcome(call, error ?? outcome),
        );
      }
    };
    const caller = this.#auth.callerOf(call);
    this.#group.propose(CommandKind.compact, bytes, start, end, onOutcome, caller);
  }

  #propose(
    kind: CommandKind,
    call: ServerCall,
    bytes: Uint8Array,
    start: number,
    end: number,
    onEnd?: () => void,
  ): void {
    checkSize(start, end, this.#limits.requestBytesMax);
    const onOutcome = (outcome: Outcome): void => {
      onEnd?.();
      this.#answerOutcome(call, outcome);
    };
    this.#group.propose(kind, bytes, start, end, onOutcome, this.#auth.callerOf(call));
  }

  #answerOutcome(call: ServerCall, outcome: Outcome): void {
    if (outcome instanceof AetherError) failProposal(call, this.#group, outcome);
    else this.#answer(call, outcome);
  }

  #answer(call: ServerCall, result: CommandResult): void {
    const header = this.#header.at(result.revision, this.#group.term);
    switch (result.kind) {
      case "put":
        encodePutResponse(header, result.previous, scratch);
        break;
      case "deleteRange":
        encodeDeleteRangeResponse(header, result.deleted, result.previous, scratch);
        break;
      case "txn":
        if (kvBytesOfTxn(result) > TXN_ANSWER_BYTES_MAX) {
          fail(call, new AetherError("answer_too_large", TXN_TOO_LARGE));
          return;
        }
        encodeTxnResult(header, result, scratch);
        break;
      default:
        reply(call, CompactionResponse, {
          header: headerAt(this.#identity, result.revision, this.#group.term),
        });
        return;
    }
    replyScratch(call);
  }

  /**
   * Runs `read` when the machine may be read; what it throws fails the call. A call that was
   * cancelled meanwhile is ended too: until then it counts against its connection's limit.
   */
  #whenReadable(call: ServerCall, serializable: boolean, read: () => void): void {
    if (serializable) {
      read();
      return;
    }
    this.#group.read((error) => {
      if (error !== undefined) fail(call, error);
      else if (call.cancelled) fail(call, new AetherError("canceled"));
      else guarded(call, read);
    });
  }

  #onRange(call: ServerCall, request: RangeRequest): void {
    checkRange(request);
    this.#whenReadable(call, request.serializable, () => {
      this.#auth.checkRead(call, request);
      if (isPoint(request)) this.#answerPoint(call, request.key);
      else this.#answerRange(call, request);
    });
  }

  /** The latest version of one key: what clients ask most. */
  #answerPoint(call: ServerCall, key: Key): void {
    const { machine, term } = this.#group;
    const header = this.#header.at(machine.revision, term);
    const kv = machine.get(key);
    if (kv === undefined) {
      encodeRangeResponse(header, NOTHING, false, 0, scratch);
    } else {
      const size = header.size + sizeOfDelimited(kv.length) + 2;
      const at = scratch.reserve(size);
      const end = putDelimited(scratch.bytes, header.put(scratch.bytes, at), KVS_TAG, kv);
      scratch.bytes[end] = COUNT_TAG;
      scratch.bytes[end + 1] = 1;
    }
    replyScratch(call);
  }

  #answerRange(call: ServerCall, request: RangeRequest): void {
    const cursor = this.#group.machine.openRange(request);
    this.#inSlices(call, cursor, (held) => this.#answerCursor(call, cursor, held));
  }

  /** Reads all that the cursor has, a slice a turn; `done` ends the cursor and what is held. */
  #inSlices(call: ServerCall, cursor: SlicedRead, done: (held?: LargeRead) => void): void {
    let held: LargeRead | undefined; // small ones are not counted
    const step = (): void => {
      try {
        if (call.cancelled) throw new AetherError("canceled");
        const isDone = cursor.step(SLICE_KEYS, SLICE_BYTES);
        if (!isDone || cursor.heldBytes > PIECE_BYTES) {
          held ??= this.largeReads.begin();
          held.hold(cursor.heldBytes);
        }
        if (isDone) done(held);
        else this.#turn.after(TurnPhase.READ, step);
      } catch (error) {
        // Between two steps a snapshot may have taken the place of the state that is read. What the
        // cursor finds in memory is still true of its revision; anything else is leader_changed.
        if (!(error instanceof AetherError)) throw error;
        cursor.close();
        held?.end();
        fail(call, error);
      }
    };
    step();
  }

  #answerCursor(call: ServerCall, cursor: RangeCursor, held?: LargeRead): void {
    const result = cursor.result();
    cursor.close();
    const header = this.#header.at(result.revision, this.#group.term);
    const kvsBytes = sizeOfKvs(result);
    if (kvsBytes >= PIECE_BYTES) {
      const read = held ?? this.largeReads.begin();
      new LargeRange(call, this.#turn, result, read).begin(header, kvsBytes);
      return;
    }
    held?.end();
    encodeRangeResponse(header, result.kvs, result.more, result.count, scratch);
    replyScratch(call);
  }

  /** AetherKV.Get: one key, NOT_FOUND when it is absent. */
  #onGet(call: ServerCall, bytes: Uint8Array, start: number, end: number): void {
    const { key, revision, serializable } = decodeRequest(GetRequest, bytes, start, end);
    if (key === "") throw new AetherError("empty_key");
    this.#whenReadable(call, serializable, () => {
      const request = RangeRequest.create({ key, revision });
      this.#auth.checkRead(call, request);
      const { kvs, revision: current } = this.#group.machine.range(request);
      const kv = kvs[0];
      if (kv === undefined) throw new AetherError("not_found", "key not found");
      // GetResponse is a PutResponse by shape: the header, and one key value as field 2.
      encodePutResponse(this.#header.at(current, this.#group.term), kv, scratch);
      replyScratch(call);
    });
  }

  #onRangeStream(call: ServerCall): StreamHandler {
    const sender = new RangeStreamSender(call, this.#turn, () =>
      this.#header.at(sender.revision, this.#group.term),
    );
    return oneRequest(call, {
      onRequest: (bytes, start, end) => {
        const request = decodeRequest(RangeRequest, bytes, start, end);
        checkRangeStream(request);
        this.#whenReadable(call, request.serializable, () => {
          this.#auth.checkRead(call, request);
          sender.begin(this.#group.machine.openRange(request));
          if (!sender.idle) this.#streams.add(sender);
        });
      },
      onEnd: () => sender.cancel(),
      onDrain: () => sender.resume(),
    });
  }
}

const NOTHING: readonly Uint8Array[] = [];

/** RangeResponse.kvs and count, as tags. */
const KVS_TAG = 0x12;
const COUNT_TAG = 0x20;

/** One key, latest version, nothing asked that needs more than the stored bytes. */
function isPoint(request: RangeRequest): boolean {
  return (
    request.rangeEnd === "" &&
    request.revision <= 0 &&
    !request.keysOnly &&
    !request.countOnly &&
    request.sortTarget === SortTarget.KEY &&
    request.sortOrder === SortOrder.NONE &&
    request.minModRevision === 0 &&
    request.maxModRevision === 0 &&
    request.minCreateRevision === 0 &&
    request.maxCreateRevision === 0
  );
}

function readPut(view: PutView, bytes: Uint8Array, start: number, end: number): PutView {
  return decodeRequest(
    { typeName: "etcdserverpb.PutRequest", decode: (b, s, e) => view.read(b, s, e) },
    bytes,
    start,
    end,
  );
}
