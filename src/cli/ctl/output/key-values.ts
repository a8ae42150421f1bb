/** The answers of get, put, del, txn and watch. A transaction's answer is made of the others'. */
import type { ByteWriter } from "../../../base/bytes.ts";
import {
  DeleteRangeResponse,
  PutResponse,
  RangeResponse,
  ResponseHeader,
  type ResponseOp,
  TxnResponse,
} from "../../../proto/gen/etcdserverpb.ts";
import type { KeyValue } from "../../../proto/gen/mvccpb.ts";
import type { MessageType } from "../../../proto/message.ts";
import { leaseHex } from "../../integers.ts";
import type { Answer } from "./answer.ts";
import { messageJson } from "./go-json.ts";
import type { Page } from "./page.ts";

/** How keys and values look in simple mode, and ids in fields. */
export interface Style {
  /** Each byte as \xNN, ids in hexadecimal. */
  readonly hex: boolean;
  readonly valueOnly: boolean;
}

export function rangeAnswer(response: RangeResponse, style: Style): Answer {
  return {
    ...messageForms(RangeResponse, response),
    simple: (page) => simpleRange(page, response, style),
    fields: (page) => fieldsRange(page, response, style),
  };
}

export function putAnswer(response: PutResponse, style: Style): Answer {
  return {
    ...messageForms(PutResponse, response),
    simple: (page) => simplePut(page, response, style),
    fields: (page) => fieldsPut(page, response, style),
  };
}

export function deleteAnswer(response: DeleteRangeResponse, style: Style): Answer {
  return {
    ...messageForms(DeleteRangeResponse, response),
    simple: (page) => simpleDelete(page, response, style),
    fields: (page) => fieldsDelete(page, response, style),
  };
}

export function txnAnswer(response: TxnResponse, style: Style): Answer {
  return {
    ...messageForms(TxnResponse, response),
    simple: (page) => simpleTxn(page, response, style),
    fields: (page) => fieldsTxn(page, response, style),
  };
}

/** The two forms that every message has. */
export function messageForms<T>(
  type: MessageType<T>,
  message: T,
): Required<Pick<Answer, "json" | "protobuf">> {
  return {
    json: () => messageJson(type, message),
    protobuf: (page) => type.encode(message, page.writer as ByteWriter),
  };
}

/** A key and its value, each on a line. */
export function simpleKeyValue(page: Page, kv: KeyValue, style: Style): void {
  if (!style.valueOnly) simpleBytes(page, kv.key, style);
  simpleBytes(page, kv.value, style);
}

function simpleBytes(page: Page, bytes: string | Uint8Array, style: Style): void {
  if (!style.hex) {
    page.raw(bytes).line();
    return;
  }
  const digits = (
    typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes)
  ).toString("hex");
  page.line(digits.replace(/../g, "\\x$&"));
}

function simpleRange(page: Page, response: RangeResponse, style: Style): void {
  for (const kv of response.kvs) simpleKeyValue(page, kv, style);
}

function simplePut(page: Page, response: PutResponse, style: Style): void {
  page.line("OK");
  if (response.prevKv !== undefined) simpleKeyValue(page, response.prevKv, style);
}

function simpleDelete(page: Page, response: DeleteRangeResponse, style: Style): void {
  page.line(String(response.deleted));
  for (const kv of response.prevKvs) simpleKeyValue(page, kv, style);
}

function simpleTxn(page: Page, response: TxnResponse, style: Style): void {
  page.line(response.succeeded ? "SUCCESS" : "FAILURE");
  for (const op of response.responses) {
    page.line();
    if (op.responseRange !== undefined) simpleRange(page, op.responseRange, style);
    else if (op.responsePut !== undefined) simplePut(page, op.responsePut, style);
    else if (op.responseDeleteRange !== undefined) {
      simpleDelete(page, op.responseDeleteRange, style);
    } else if (op.responseTxn !== undefined) simpleTxn(page, op.responseTxn, style);
  }
}

/** Only whether ids are shown in hexadecimal. */
export type IdStyle = Pick<Style, "hex">;

/** The header in fields mode; an absent one is all zero. Without a revision when it has none. */
export function fieldsHeader(page: Page, header = ResponseHeader.create(), { hex }: IdStyle): void {
  page.field("ClusterID", idText(header.clusterId, hex));
  page.field("MemberID", idText(header.memberId, hex));
  if (header.revision > 0) page.field("Revision", header.revision);
  page.field("RaftTerm", header.raftTerm);
}

/** The id of a member or cluster. */
export function idText(id: bigint, hex: boolean): string {
  return id.toString(hex ? 16 : 10);
}

/** The id of a lease: in hexadecimal it has all its digits. */
export function leaseText(id: bigint, hex: boolean): string {
  return hex ? leaseHex(id) : id.toString();
}

/** A key-value pair in fields mode, the names after `prefix`. */
export function fieldsKeyValue(page: Page, kv: KeyValue, { hex }: IdStyle, prefix = ""): void {
  page.quoted(`${prefix}Key`, kv.key);
  page.field(`${prefix}CreateRevision`, kv.createRevision);
  page.field(`${prefix}ModRevision`, kv.modRevision);
  page.field(`${prefix}Version`, kv.version);
  page.quoted(`${prefix}Value`, kv.value);
  page.field(`${prefix}Lease`, leaseText(kv.lease, hex));
}

function fieldsRange(page: Page, response: RangeResponse, style: IdStyle): void {
  fieldsHeader(page, response.header, style);
  for (const kv of response.kvs) fieldsKeyValue(page, kv, style);
  page.field("More", response.more);
  page.field("Count", response.count);
}

function fieldsPut(page: Page, response: PutResponse, style: IdStyle): void {
  fieldsHeader(page, response.header, style);
  if (response.prevKv !== undefined) fieldsKeyValue(page, response.prevKv, style, "Prev");
}

function fieldsDelete(page: Page, response: DeleteRangeResponse, style: IdStyle): void {
  fieldsHeader(page, response.header, style);
  page.field("Deleted", response.deleted);
  for (const kv of response.prevKvs) fieldsKeyValue(page, kv, style, "Prev");
}

function fieldsTxn(page: Page, response: TxnResponse, style: IdStyle): void {
  fieldsHeader(page, response.header, style);
  page.field("Succeeded", response.succeeded);
  for (const op of response.responses) fieldsOperation(page, op, style);
}

function fieldsOperation(page: Page, op: ResponseOp, style: IdStyle): void {
  if (op.responseRange !== undefined) fieldsRange(page, op.responseRange, style);
  else if (op.responsePut !== undefined) fieldsPut(page, op.responsePut, style);
  else if (op.responseDeleteRange !== undefined) fieldsDelete(page, op.responseDeleteRange, style);
  else if (op.responseTxn !== undefined) fieldsTxn(page, op.responseTxn, style);
}
