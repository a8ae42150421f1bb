/**
 * Whether a command may run, asked when it is applied: permissions are those of this index, not
 * those of the moment at which some member took the call.
 *
 * Commands on nobody's behalf: those that clients alone send are refused; the others are the
 * cluster's own (expiry, alarms, automatic compaction), and calls of clients that lead to them
 * were judged where they came in (rpc/authorize.ts). On somebody's behalf everything needs the
 * role root but what is named here.
 */
import {
  DeleteRangeRequest,
  LeaseRevokeRequest,
  TxnRequest,
} from "../../proto/gen/etcdserverpb.ts";
import { PutView } from "../../proto/hot/put-view.ts";
import { CommandKind } from "../command.ts";
import { isAuthCommand } from "./auth-commands.ts";
import {
  checkDeleteRange,
  checkLease,
  checkPut,
  checkRoot,
  checkTxn,
  type Question,
} from "./authorize.ts";

const put = new PutView();

/** Fails as the checks of authorize.ts do, and changes nothing. Only while auth is enabled. */
export function judge(
  question: Question,
  kind: number,
  payload: Buffer,
  start: number,
  end: number,
): void {
  switch (kind) {
    case CommandKind.put:
      checkPut(question, put.read(payload, start, end));
      break;
    case CommandKind.deleteRange:
      checkDeleteRange(question, DeleteRangeRequest.decode(payload, start, end));
      break;
    case CommandKind.txn:
      checkTxn(question, TxnRequest.decode(payload, start, end));
      break;
    case CommandKind.leaseRevoke:
      checkLease(question, "write", LeaseRevokeRequest.decode(payload, start, end).ID);
      break;
    case CommandKind.leaseGrant:
    case CommandKind.authenticate:
    case CommandKind.signingKey: // no client's: drawn by a member for whoever logs in first
      break;
    default:
      if (question.caller !== undefined || isAuthCommand(kind)) checkRoot(question);
  }
}
