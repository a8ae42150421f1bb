/** Requests and answers of test/check as messages of the protocol, and back. */
import { unreachable } from "../../src/base/assert.ts";
import { bytesOf, latin1 } from "../../src/base/bytes.ts";
import {
  Compare as CompareMessage,
  CompareResult,
  CompareTarget,
  DeleteRangeRequest,
  type DeleteRangeResponse,
  PutRequest as PutMessage,
  type PutResponse,
  RangeRequest as RangeMessage,
  type RangeResponse,
  RequestOp,
  type ResponseHeader,
  type ResponseOp,
  TxnRequest as TxnMessage,
  type TxnResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import type { KeyValue as KeyValueMessage } from "../../src/proto/gen/mvccpb.ts";
import type {
  Compare,
  DeleteAnswer,
  DeleteRequest,
  KeyValue,
  Operation,
  OperationAnswer,
  PutAnswer,
  PutRequest,
  RangeAnswer,
  RangeRequest,
  TxnAnswer,
  TxnRequest,
} from "../check/requests.ts";

export function rangeMessage(request: RangeRequest): RangeMessage {
  const { key, end = "", revision = 0, limit = 0, serializable = false } = request;
  return RangeMessage.create({ key, rangeEnd: end, revision, limit, serializable });
}

export function putMessage({ key, value, lease = "0", prevKv = false }: PutRequest): PutMessage {
  return PutMessage.create({ key, value: bytesOf(value), lease: BigInt(lease), prevKv });
}

export function deleteMessage({
  key,
  end = "",
  prevKv = false,
}: DeleteRequest): DeleteRangeRequest {
  return DeleteRangeRequest.create({ key, rangeEnd: end, prevKv });
}

export function txnMessage({ compare, success, failure }: TxnRequest): TxnMessage {
  return TxnMessage.create({
    compare: compare.map(compareMessage),
    success: success.map(operationMessage),
    failure: failure.map(operationMessage),
  });
}

const RESULTS = {
  "=": CompareResult.EQUAL,
  "!=": CompareResult.NOT_EQUAL,
  "<": CompareResult.LESS,
  ">": CompareResult.GREATER,
} as const;

function compareMessage({ target, result, key, value = "", number = 0 }: Compare): CompareMessage {
  const about = { key, result: RESULTS[result] };
  switch (target) {
    case "value":
      return CompareMessage.create({
        ...about,
        target: CompareTarget.VALUE,
        value: bytesOf(value),
      });
    case "version":
      return CompareMessage.create({ ...about, target: CompareTarget.VERSION, version: number });
    case "create":
      return CompareMessage.create({
        ...about,
        target: CompareTarget.CREATE,
        createRevision: number,
      });
    case "mod":
      return CompareMessage.create({ ...about, target: CompareTarget.MOD, modRevision: number });
    default:
      return unreachable(target);
  }
}

function operationMessage(operation: Operation): RequestOp {
  switch (operation.kind) {
    case "range":
      return RequestOp.create({ requestRange: rangeMessage(operation) });
    case "put":
      return RequestOp.create({ requestPut: putMessage(operation) });
    case "delete":
      return RequestOp.create({ requestDeleteRange: deleteMessage(operation) });
    default:
      return unreachable(operation);
  }
}

/** What the header says; inside of a transaction there may be none. */
function revisionOf(header: ResponseHeader | undefined): { revision?: number } {
  return header === undefined || header.revision === 0 ? {} : { revision: header.revision };
}

export function rangeAnswer({ header, kvs, count, more }: RangeResponse): RangeAnswer {
  return { kind: "range", ...revisionOf(header), kvs: kvs.map(keyValue), count, more };
}

export function putAnswer({ header, prevKv }: PutResponse): PutAnswer {
  const previous = prevKv === undefined ? null : keyValue(prevKv);
  return { kind: "put", ...revisionOf(header), prevKv: previous };
}

export function deleteAnswer({ header, deleted, prevKvs }: DeleteRangeResponse): DeleteAnswer {
  return { kind: "delete", ...revisionOf(header), deleted, prevKvs: prevKvs.map(keyValue) };
}

export function txnAnswer({ header, succeeded, responses }: TxnResponse): TxnAnswer {
  return {
    kind: "txn",
    ...revisionOf(header),
    succeeded,
    responses: responses.map(operationAnswer),
  };
}

function operationAnswer(response: ResponseOp): OperationAnswer {
  const { responseRange, responsePut, responseDeleteRange } = response;
  if (responseRange !== undefined) return rangeAnswer(responseRange);
  if (responsePut !== undefined) return putAnswer(responsePut);
  if (responseDeleteRange !== undefined) return deleteAnswer(responseDeleteRange);
  throw new Error("an operation's answer is none of those that were asked for");
}

export function keyValue(message: KeyValueMessage): KeyValue {
  const { key, value, createRevision, modRevision, version, lease } = message;
  return { key, value: latin1(value), createRevision, modRevision, version, lease: `${lease}` };
}
