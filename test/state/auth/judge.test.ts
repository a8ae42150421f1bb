/** Commands are judged where they are applied, on behalf of whoever stands before them. */
import { describe, expect, test } from "bun:test";
import { ByteWriter } from "../../../src/base/bytes.ts";
import {
  DeleteRangeRequest,
  PutRequest,
  RequestOp,
  type TxnRequest,
} from "../../../src/proto/gen/etcdserverpb.ts";
import {
  addCaller,
  addCommand,
  beginBatch,
  CommandKind,
  endBatch,
  isSoundBatch,
} from "../../../src/state/command.ts";
import { codeOf, encoded } from "../driver.ts";
import { AuthDriver } from "./auth-driver.ts";

/** u may read [b, d) and write [c, e); lease 1 has a key of u's, lease 2 one that is not his. */
function withUser(): AuthDriver {
  const driver = new AuthDriver().withRoot();
  driver.addUser("u");
  driver.addRole("r");
  driver.grantRole("u", "r");
  driver.permit("r", "read", "b", "d");
  driver.permit("r", "write", "c", "e");
  for (const id of [1n, 2n]) driver.grant(id);
  driver.put("c", "", { lease: 1n });
  driver.put("z", "", { lease: 2n });
  return driver;
}

const put = (key: string): RequestOp =>
  RequestOp.create({ requestPut: PutRequest.create({ key }) });

describe("a user", () => {
  test("writes where he may, and reads the old version where he may read, too", () => {
    const driver = withUser();
    driver.user = "u";
    expect(codeOf(() => driver.put("c", "", { prevKv: true }))).toBe("none");
    expect(codeOf(() => driver.put("d"))).toBe("none");
    expect(codeOf(() => driver.put("d", "", { prevKv: true }))).toBe("permission_denied");
    expect(codeOf(() => driver.put("b"))).toBe("permission_denied");
    expect(codeOf(() => driver.delete("c", "e"))).toBe("none");
    expect(codeOf(() => driver.delete("c", "e", true))).toBe("permission_denied");
    expect(codeOf(() => driver.delete("c", "f"))).toBe("permission_denied");
    expect(codeOf(() => driver.delete("c", "\0"))).toBe("permission_denied");
  });

  test("hangs keys on leases whose keys he may all write, and revokes those", () => {
    const driver = withUser();
    driver.user = "u";
    expect(codeOf(() => driver.put("d", "", { lease: 1n }))).toBe("none");
    expect(codeOf(() => driver.put("d", "", { lease: 2n }))).toBe("permission_denied");
    expect(codeOf(() => driver.revoke(2n))).toBe("permission_denied");
    expect(codeOf(() => driver.revoke(1n))).toBe("none");
    expect(codeOf(() => driver.revoke(3n))).toBe("lease_not_found");
    expect(codeOf(() => driver.grant(4n))).toBe("none");
  });

  test("needs to be allowed all of a transaction, also what will not run", () => {
    const driver = withUser();
    driver.user = "u";
    const codes = (request: Partial<TxnRequest>): string => codeOf(() => driver.txn(request));
    const compare = (key: string, rangeEnd = "") =>
      [{ key, rangeEnd, result: 0, target: 0, version: 0 }] as unknown as TxnRequest["compare"];
    const nested = (inner: Partial<TxnRequest>): RequestOp =>
      RequestOp.create({
        requestTxn: { compare: [], success: [], failure: [], ...inner },
      });
    expect(codes({ compare: compare("b"), success: [put("c")] })).toBe("none");
    expect(codes({ compare: compare("d"), success: [put("c")] })).toBe("permission_denied");
    expect(codes({ compare: compare("b", "\0") })).toBe("permission_denied");
    expect(codes({ success: [put("c")], failure: [put("z")] })).toBe("permission_denied");
    expect(codes({ failure: [nested({ failure: [put("z")] })] })).toBe("permission_denied");
    expect(codes({ success: [nested({ compare: compare("z") })] })).toBe("permission_denied");
    expect(codes({ success: [nested({ success: [put("d")] })] })).toBe("none");
  });

  test("changes no users and no history", () => {
    const driver = withUser();
    driver.user = "u";
    const refused = [
      codeOf(() => driver.addUser("x")),
      codeOf(() => driver.changePassword("u", "")),
      codeOf(() => driver.permit("r", "both", "\0", "\0")),
      codeOf(() => driver.disable()),
      codeOf(() => driver.compact(2)),
    ];
    expect(refused).toEqual(Array(5).fill("permission_denied"));
  });

  test("who is gone may nothing", () => {
    const driver = withUser();
    driver.deleteUser("u");
    driver.user = "u";
    expect(codeOf(() => driver.put("c"))).toBe("permission_denied");
    expect(codeOf(() => driver.addRole("x"))).toBe("user_not_found");
  });
});

describe("nobody", () => {
  test("changes neither keys nor users", () => {
    const driver = withUser();
    driver.user = undefined;
    const refused = [
      codeOf(() => driver.put("c")),
      codeOf(() => driver.delete("c")),
      codeOf(() => driver.txn({ success: [put("c")] })),
      codeOf(() => driver.revoke(1n)),
      codeOf(() => driver.addUser("x")),
      codeOf(() => driver.disable()),
    ];
    expect(refused).toEqual(Array(6).fill("user_empty"));
  });

  test("is the cluster itself, which ends leases, compacts and raises alarms", () => {
    const driver = withUser();
    driver.user = undefined;
    expect(driver.expire([1n]).ids).toEqual([1n]);
    expect(codeOf(() => driver.compact(2))).toBe("none");
    expect(codeOf(() => driver.raiseAlarm(1n, 1))).toBe("none");
    expect(codeOf(() => driver.addMember(1n))).toBe("none");
  });
});

describe("in a batch", () => {
  test("each command is on behalf of the last prefix before it, and has its own outcome", () => {
    const driver = withUser();
    const kind = CommandKind.put;
    const body = encoded(PutRequest, { key: "b" });
    const { authRevision } = driver.caller ?? { authRevision: 0 };
    const root = { user: "root", authRevision };
    const user = { user: "u", authRevision };
    const outcomes = driver.batch([
      { kind, body },
      { kind, body, caller: root },
      { kind, body, caller: root },
      { kind, body, caller: user },
      { kind, body },
    ]);
    expect(outcomes.map((each) => (each instanceof Error ? each.code : each.kind))).toEqual([
      "user_empty",
      "put",
      "put",
      "permission_denied",
      "user_empty",
    ]);
  });

  test("what was known at an older auth revision is refused, but for what needs root", () => {
    const driver = withUser();
    const old = { user: "root", authRevision: driver.machine.auth.revision - 1 };
    const body = encoded(DeleteRangeRequest, { key: "c" });
    const nobody = { user: "root", authRevision: 0 };
    const compaction = { kind: CommandKind.compact, body: new Uint8Array([0x08, 0x02]) };
    const outcomes = driver.batch([
      { kind: CommandKind.deleteRange, body, caller: old },
      { kind: CommandKind.deleteRange, body, caller: nobody },
      { ...compaction, caller: old },
    ]);
    expect(outcomes.map((each) => (each instanceof Error ? each.code : each.kind))).toEqual([
      "auth_old_revision",
      "user_empty",
      "compact",
    ]);
  });

  test("a prefix is not counted, and a sound batch knows that", () => {
    const out = new ByteWriter();
    beginBatch(out, 1n, 1);
    addCaller(out, { user: "ü", authRevision: 3 });
    addCommand(out, CommandKind.put, new Uint8Array(0), 0, 0);
    addCaller(out, undefined);
    addCommand(out, CommandKind.put, new Uint8Array(0), 0, 0);
    const payload = Buffer.from(endBatch(out, 2));
    expect(isSoundBatch(payload)).toBe(true);
    payload.writeUInt32BE(4, 17);
    expect(isSoundBatch(payload)).toBe(false);
  });

  test("callers cost nothing and change nothing while auth is off", () => {
    const driver = new AuthDriver();
    driver.user = "nobody known";
    expect(codeOf(() => driver.put("k"))).toBe("none");
  });
});
