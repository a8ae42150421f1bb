/**
 * Entries that another member sends: what is taken for sound can be applied. It may fail, command
 * by command, and nothing is half done; an exception would end the member at each of its starts.
 */
import { expect } from "bun:test";
import fc from "fast-check";
import { asBuffer } from "../../src/base/bytes.ts";
import { isSoundEntry } from "../../src/node/sound-entry.ts";
import * as aether from "../../src/proto/gen/aether.v1.ts";
import * as etcd from "../../src/proto/gen/etcdserverpb.ts";
import type { MessageType } from "../../src/proto/message.ts";
import { decodeChange, encodeChange } from "../../src/raft/membership/codec.ts";
import type { Entry } from "../../src/raft/types.ts";
import { encodeCaller } from "../../src/state/auth/caller.ts";
import { CommandKind } from "../../src/state/command.ts";
import { verify } from "../../src/state/verify.ts";
import { batchOf, Driver } from "../state/driver.ts";
import { anyMessage, bytesOf } from "./any-message.ts";
import { fuzz } from "./fuzz.ts";

interface Command {
  readonly kind: CommandKind;
  readonly body: Uint8Array;
}

/** A body of a type, or bytes that are none. */
function body<T>(type: MessageType<T>): fc.Arbitrary<Uint8Array> {
  const whole = anyMessage(type).map((message) => bytesOf(type, message));
  return fc.oneof(
    { weight: 8, arbitrary: whole },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }) },
  );
}

const caller = fc
  .record({ user: fc.constantFrom("", "root", "u"), authRevision: fc.nat(5) })
  .map(encodeCaller);

/** What the bodies are, as command.ts names them. */
const BODIES: Readonly<Record<keyof typeof CommandKind, fc.Arbitrary<Uint8Array>>> = {
  put: body(etcd.PutRequest),
  deleteRange: body(etcd.DeleteRangeRequest),
  txn: body(etcd.TxnRequest),
  compact: body(etcd.CompactionRequest),
  leaseGrant: body(etcd.LeaseGrantRequest),
  leaseRevoke: body(etcd.LeaseRevokeRequest),
  leaseExpire: body(aether.LeaseExpire),
  memberAdd: body(etcd.Member),
  memberRemove: body(etcd.MemberRemoveRequest),
  memberPromote: body(etcd.MemberPromoteRequest),
  memberUpdate: body(etcd.MemberUpdateRequest),
  memberPublish: body(etcd.Member),
  alarm: body(etcd.AlarmRequest),
  onBehalf: fc.oneof(caller, fc.uint8Array({ maxLength: 9 })),
  authEnable: body(etcd.AuthEnableRequest),
  authDisable: body(etcd.AuthDisableRequest),
  authenticate: body(aether.Authenticated),
  userAdd: body(etcd.AuthUserAddRequest),
  userDelete: body(etcd.AuthUserDeleteRequest),
  userChangePassword: body(etcd.AuthUserChangePasswordRequest),
  userGrantRole: body(etcd.AuthUserGrantRoleRequest),
  userRevokeRole: body(etcd.AuthUserRevokeRoleRequest),
  roleAdd: body(etcd.AuthRoleAddRequest),
  roleDelete: body(etcd.AuthRoleDeleteRequest),
  roleGrantPermission: body(etcd.AuthRoleGrantPermissionRequest),
  roleRevokePermission: body(etcd.AuthRoleRevokePermissionRequest),
  signingKey: fc.uint8Array({ maxLength: 40 }),
  authBegin: body(etcd.AuthUserAddRequest),
  clusterVersion: body(etcd.DowngradeRequest),
  downgrade: body(etcd.DowngradeRequest),
  leaseCheckpoint: body(aether.LeaseCheckpoints),
  quotaAlarm: body(etcd.AlarmRequest),
};

const command: fc.Arbitrary<Command> = fc.oneof(
  ...Object.entries(BODIES).map(([name, bodies]) => {
    const kind = CommandKind[name as keyof typeof CommandKind];
    return bodies.map((bytes) => ({ kind, body: bytes }));
  }),
);

/** Commands as a batch; a byte of it may be another one. */
const payload = fc
  .tuple(
    fc.array(command, { maxLength: 4 }),
    fc.option(fc.tuple(fc.nat(120), fc.nat(255)), { nil: undefined, freq: 6 }),
  )
  .map(([commands, change]) => {
    const counted = commands.filter(({ kind }) => kind !== CommandKind.onBehalf).length;
    const bytes = Buffer.from(batchOf(commands));
    bytes.writeUInt32BE(counted, 17);
    if (change !== undefined && change[0] < bytes.length) bytes[change[0]] = change[1];
    return bytes;
  });

const entry: fc.Arbitrary<Pick<Entry, "kind" | "payload">> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("normal" as const), payload }) },
  {
    weight: 1,
    arbitrary: payload.map((context) => ({
      kind: "config" as const,
      payload: encodeChange({ transition: "auto", steps: [], context }),
    })),
  },
);

fuzz({
  name: "log-entry",
  inputs: [fc.array(entry, { maxLength: 12 })],
  check(entries) {
    const { machine, ...driver } = new Driver();
    for (const { kind, payload: bytes } of entries) {
      const index = machine.appliedIndex + 1;
      if (!isSoundEntry({ index, term: driver.term, kind, payload: bytes })) continue;
      const batch = kind === "config" ? decodeChange(bytes)?.context : bytes;
      if (batch === undefined || batch.length === 0) continue;
      let count = 0;
      machine.apply(index, driver.term, asBuffer(batch), () => count++);
      expect(count).toBe(asBuffer(batch).readUInt32BE(17));
    }
    verify(machine);
  },
  runs: 1200,
});
