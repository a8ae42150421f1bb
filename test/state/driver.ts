/** Drives a machine as a node does, without Raft: one command an entry, stored when told. */
import { ByteWriter, keyFromText } from "../../src/base/bytes.ts";
import { AetherError, type ErrorCode } from "../../src/base/errors.ts";
import { LeaseExpire } from "../../src/proto/gen/aether.v1.ts";
import {
  AlarmAction,
  AlarmRequest,
  CompactionRequest,
  DeleteRangeRequest,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  Member,
  MemberPromoteRequest,
  MemberRemoveRequest,
  MemberUpdateRequest,
  PutRequest,
  RangeRequest,
  TxnRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { KeyValue } from "../../src/proto/gen/mvccpb.ts";
import type { MessageType } from "../../src/proto/message.ts";
import { addCommand, beginBatch, CommandKind, endBatch } from "../../src/state/command.ts";
import { StateMachine } from "../../src/state/machine.ts";
import type {
  AlarmResult,
  CompactResult,
  DeleteRangeResult,
  LeaseExpireResult,
  LeaseGrantResult,
  LeaseRevokeResult,
  MemberResult,
  Outcome,
  PutResult,
  RangeResult,
  TxnResult,
} from "../../src/state/results.ts";
import { judge } from "./judged.ts";
import { MemoryHistory } from "./memory-history.ts";

const encoder = new TextEncoder();

export const bytes = (text: string): Uint8Array => encoder.encode(text);

export interface Command {
  readonly kind: CommandKind;
  readonly body: Uint8Array;
}

export function encoded<T>(type: MessageType<T>, partial: Partial<T>): Uint8Array {
  const out = new ByteWriter();
  type.encode(type.create(partial), out);
  return out.copy();
}

export function batchOf(commands: readonly Command[]): Uint8Array {
  const out = new ByteWriter();
  beginBatch(out, 1n, 1);
  for (const { kind, body } of commands) addCommand(out, kind, body, 0, body.length);
  return endBatch(out, commands.length);
}

export class Driver {
  history: MemoryHistory;
  machine: StateMachine;
  term = 1;
  readonly #cacheBytes: number;

  constructor(cacheBytes = 1 << 20) {
    this.#cacheBytes = cacheBytes;
    this.history = new MemoryHistory();
    this.machine = new StateMachine(this.history, cacheBytes);
  }

  /** Applies one entry with these commands; returns their outcomes. */
  entry(commands: readonly Command[]): Outcome[] {
    const outcomes: Outcome[] = [];
    this.machine.apply(
      this.machine.appliedIndex + 1,
      this.term,
      batchOf(commands),
      (_, outcome) => {
        outcomes.push(outcome);
      },
    );
    return outcomes;
  }

  command(kind: CommandKind, body: Uint8Array): Outcome {
    return this.entry([{ kind, body }])[0] as Outcome;
  }

  /** Hands everything to the store; the tail is empty afterwards. */
  flush(): void {
    this.machine.takeRows();
    this.history.store(this.machine.takeBatch());
    this.machine.stored(this.machine.space.tail.next - 1);
  }

  /** Stops and starts: a new machine over what the store holds, which another member would take. */
  restart(): void {
    this.flush();
    judge(this.history.stored());
    this.machine = new StateMachine(this.history, this.#cacheBytes);
    this.machine.restore(this.history.stored());
  }

  put(key: string, value = "", more: Partial<PutRequest> = {}): PutResult {
    const partial = { key: keyFromText(key), value: bytes(value), ...more };
    return ok(this.command(CommandKind.put, encoded(PutRequest, partial)));
  }

  delete(key: string, rangeEnd = "", prevKv = false): DeleteRangeResult {
    const body = encoded(DeleteRangeRequest, { key, rangeEnd, prevKv });
    return ok(this.command(CommandKind.deleteRange, body));
  }

  txn(request: Partial<TxnRequest>): TxnResult {
    return ok(this.command(CommandKind.txn, encoded(TxnRequest, request)));
  }

  compact(revision: number): CompactResult {
    return ok(this.command(CommandKind.compact, encoded(CompactionRequest, { revision })));
  }

  grant(ID: bigint, TTL = 60): LeaseGrantResult {
    return ok(this.command(CommandKind.leaseGrant, encoded(LeaseGrantRequest, { ID, TTL })));
  }

  revoke(ID: bigint): LeaseRevokeResult {
    return ok(this.command(CommandKind.leaseRevoke, encoded(LeaseRevokeRequest, { ID })));
  }

  expire(IDs: bigint[], term = this.term): LeaseExpireResult {
    return ok(this.command(CommandKind.leaseExpire, encoded(LeaseExpire, { IDs, term })));
  }

  addMember(ID: bigint, more: Partial<Member> = {}): MemberResult {
    const body = encoded(Member, { ID, peerURLs: [`http://m${ID}:2380`], ...more });
    return ok(this.command(CommandKind.memberAdd, body));
  }

  removeMember(ID: bigint): MemberResult {
    return ok(this.command(CommandKind.memberRemove, encoded(MemberRemoveRequest, { ID })));
  }

  promoteMember(ID: bigint): MemberResult {
    return ok(this.command(CommandKind.memberPromote, encoded(MemberPromoteRequest, { ID })));
  }

  updateMember(ID: bigint, ...peerURLs: string[]): MemberResult {
    const body = encoded(MemberUpdateRequest, { ID, peerURLs });
    return ok(this.command(CommandKind.memberUpdate, body));
  }

  publishMember(ID: bigint, name: string, ...clientURLs: string[]): MemberResult {
    const body = encoded(Member, { ID, name, clientURLs });
    return ok(this.command(CommandKind.memberPublish, body));
  }

  raiseAlarm(memberID: bigint, alarm: number): AlarmResult {
    return this.#alarm({ action: AlarmAction.ACTIVATE, memberID, alarm });
  }

  clearAlarm(memberID: bigint, alarm: number): AlarmResult {
    return this.#alarm({ action: AlarmAction.DEACTIVATE, memberID, alarm });
  }

  range(request: Partial<RangeRequest>): RangeResult {
    return this.machine.range(RangeRequest.create(request));
  }

  /** The live keys and values, as "key=value", by a range over everything. */
  contents(revision = 0): string[] {
    return texts(this.range({ key: "\0", rangeEnd: "\0", revision }));
  }

  #alarm(request: AlarmRequest): AlarmResult {
    return ok(this.command(CommandKind.alarm, encoded(AlarmRequest, request)));
  }
}

/** The result, or throws the error that the command came to. */
function ok<T extends Outcome>(outcome: Outcome): T {
  if (outcome instanceof AetherError) throw outcome;
  return outcome as T;
}

export function decodeKv(kv: Uint8Array): KeyValue {
  return KeyValue.decode(kv, 0, kv.length);
}

export function texts(result: RangeResult): string[] {
  return result.kvs.map((kv) => {
    const { key, value } = decodeKv(kv);
    return `${key}=${Buffer.from(value).toString()}`;
  });
}

/** The code with which `run` fails; "none" if it does not. */
export function codeOf(run: () => unknown): ErrorCode | "none" {
  try {
    run();
    return "none";
  } catch (error) {
    if (error instanceof AetherError) return error.code;
    throw error;
  }
}
