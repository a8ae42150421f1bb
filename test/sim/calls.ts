/**
 * What a face of the server does with a request of a client, without a wire: encodes it, hands it
 * to the group, and says what came of it in the words of the checkers (test/check/requests.ts).
 */
import { unreachable } from "../../src/base/assert.ts";
import { latin1 } from "../../src/base/bytes.ts";
import { AetherError } from "../../src/base/errors.ts";
import type { Group } from "../../src/node/group.ts";
import {
  CompactionRequest,
  Compare,
  DeleteRangeRequest,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  PutRequest,
  RangeRequest,
  RequestOp,
  TxnRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { KeyValue } from "../../src/proto/gen/mvccpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import type {
  CommandResult,
  OperationResult,
  Outcome,
  RangeResult,
} from "../../src/state/results.ts";
import type * as Check from "../check/requests.ts";
import { encoded } from "../state/driver.ts";
import { tagged } from "./tags.ts";

/** What a client is told: an answer, a refusal that is certain, or nothing that it can rely on. */
export type Told =
  | { readonly kind: "answered"; readonly answer: Check.Answer }
  | { readonly kind: "refused"; readonly code: string }
  | { readonly kind: "unknown" };

type Tell = (told: Told) => void;

/** Errors after which a write may have happened, or may still. */
const UNCERTAIN: ReadonlySet<string> = new Set([
  "timeout",
  "timeout_leader_failure",
  "leader_changed",
  "stopped",
  "unhealthy",
]);

/** Performs a request at a member; `tag` is the number of its command in the log. */
export function perform(group: Group, request: Check.Request, tag: number, tell: Tell): void {
  switch (request.kind) {
    case "range":
      performRange(group, request, tell);
      return;
    case "renew":
      group.renewLease(BigInt(request.id), (ttl) => {
        if (ttl instanceof AetherError) tell(refusal(ttl, false));
        else tell({ kind: "answered", answer: { kind: "renew", ttlSeconds: ttl } });
      });
      return;
    case "life":
      group.leaseLife(BigInt(request.id), (life) => {
        if (life instanceof AetherError) tell(refusal(life, false));
        else {
          const ttlSeconds = life.leftMs === undefined ? -1 : Math.floor(life.leftMs / 1000);
          tell({ kind: "answered", answer: { kind: "life", ttlSeconds } });
        }
      });
      return;
    default: {
      const [kind, body] = commandOf(request);
      const bytes = tagged(body, tag);
      group.propose(kind, bytes, 0, bytes.length, (outcome) => tell(toldOf(request, outcome)));
    }
  }
}

function performRange(group: Group, request: Check.RangeRequest, tell: Tell): void {
  const answer = (): void => {
    try {
      tell({ kind: "answered", answer: rangeAnswer(group.machine.range(rangeOf(request))) });
    } catch (error) {
      if (!(error instanceof AetherError)) throw error;
      tell(refusal(error, false));
    }
  };
  if (request.serializable) answer();
  else {
    group.read((error) => {
      if (error === undefined) answer();
      else tell(refusal(error, false));
    });
  }
}

type Command = Exclude<Check.Request, Check.RangeRequest | Check.RenewRequest | Check.LifeRequest>;

function commandOf(request: Command): readonly [CommandKind, Uint8Array] {
  switch (request.kind) {
    case "put":
      return [CommandKind.put, encoded(PutRequest, putOf(request))];
    case "delete":
      return [CommandKind.deleteRange, encoded(DeleteRangeRequest, deleteOf(request))];
    case "txn":
      return [CommandKind.txn, encoded(TxnRequest, txnOf(request))];
    case "compact":
      return [CommandKind.compact, encoded(CompactionRequest, { revision: request.revision })];
    case "grant": {
      const grant = { ID: BigInt(request.id), TTL: request.ttlSeconds };
      return [CommandKind.leaseGrant, encoded(LeaseGrantRequest, grant)];
    }
    case "revoke":
      return [CommandKind.leaseRevoke, encoded(LeaseRevokeRequest, { ID: BigInt(request.id) })];
    default:
      return unreachable(request);
  }
}

function putOf({ key, value, lease = "0", prevKv = false }: Check.PutRequest): PutRequest {
  return PutRequest.create({
    key,
    value: Buffer.from(value, "latin1"),
    lease: BigInt(lease),
    prevKv,
  });
}

function deleteOf({ key, end = "", prevKv = false }: Check.DeleteRequest): DeleteRangeRequest {
  return DeleteRangeRequest.create({ key, rangeEnd: end, prevKv });
}

function rangeOf({ key, end = "", revision = 0, limit = 0 }: Check.RangeRequest): RangeRequest {
  return RangeRequest.create({ key, rangeEnd: end, revision, limit });
}

function operationOf(operation: Check.Operation): RequestOp {
  switch (operation.kind) {
    case "put":
      return RequestOp.create({ requestPut: putOf(operation) });
    case "delete":
      return RequestOp.create({ requestDeleteRange: deleteOf(operation) });
    case "range":
      return RequestOp.create({ requestRange: rangeOf(operation) });
    default:
      return unreachable(operation);
  }
}

const RESULTS = { "=": 0, ">": 1, "<": 2, "!=": 3 } as const;
const TARGETS = { version: 0, create: 1, mod: 2, value: 3 } as const;

function compareOf({ target, result, key, value = "", number = 0 }: Check.Compare): Compare {
  const of = { version: "version", create: "createRevision", mod: "modRevision" } as const;
  return Compare.create({
    result: RESULTS[result],
    target: TARGETS[target],
    key,
    ...(target === "value" ? { value: Buffer.from(value, "latin1") } : { [of[target]]: number }),
  });
}

function txnOf({ compare, success, failure }: Check.TxnRequest): TxnRequest {
  return TxnRequest.create({
    compare: compare.map(compareOf),
    success: success.map(operationOf),
    failure: failure.map(operationOf),
  });
}

function toldOf(request: Command, outcome: Outcome): Told {
  if (outcome instanceof AetherError) return refusal(outcome, true);
  return { kind: "answered", answer: answerOf(request, outcome) };
}

/** A read that failed told nothing; a write that failed uncertainly may still happen. */
function refusal({ code }: AetherError, isWrite: boolean): Told {
  return isWrite && UNCERTAIN.has(code) ? { kind: "unknown" } : { kind: "refused", code };
}

function answerOf(request: Command, result: CommandResult): Check.Answer {
  const { revision } = result;
  switch (result.kind) {
    case "put":
    case "deleteRange":
      return operationAnswer(result);
    case "txn":
      return {
        kind: "txn",
        revision,
        succeeded: result.succeeded,
        responses: result.responses.map(operationAnswer),
      };
    case "compact":
      return { kind: "compact", revision };
    case "leaseGrant":
      return { kind: "grant", revision, id: `${result.id}`, ttlSeconds: result.ttlSeconds };
    case "leaseRevoke":
      return { kind: "revoke", revision };
    default:
      throw new Error(`${request.kind} was answered with ${result.kind}`);
  }
}

function operationAnswer(result: OperationResult): Check.OperationAnswer {
  const { revision } = result;
  switch (result.kind) {
    case "put": {
      const { previous } = result;
      return { kind: "put", revision, prevKv: previous === undefined ? null : seenKv(previous) };
    }
    case "deleteRange": {
      const prevKvs = result.previous.map(seenKv);
      return { kind: "delete", revision, deleted: result.deleted, prevKvs };
    }
    case "range":
      return rangeAnswer(result);
    default:
      throw new Error("nested transactions are not asked for");
  }
}

function rangeAnswer({ revision, kvs, count, more }: RangeResult): Check.RangeAnswer {
  return { kind: "range", revision, kvs: kvs.map(seenKv), count, more };
}

export function seenKv(bytes: Uint8Array): Check.KeyValue {
  const { key, value, createRevision, modRevision, version, lease } = KeyValue.decode(
    bytes,
    0,
    bytes.length,
  );
  return { key, value: latin1(value), createRevision, modRevision, version, lease: `${lease}` };
}
