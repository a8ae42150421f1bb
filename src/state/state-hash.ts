/**
 * What replicas must agree on besides their keys (kv-hash.ts), as one text: for tests, and for what
 * looks at whole machines.
 */
import { assert } from "../base/assert.ts";
import { latin1 } from "../base/bytes.ts";
import { KvHash } from "./kv-hash.ts";
import type { StateMachine } from "./machine.ts";

/** What two replicas must agree on after the same entry, as one string. */
export function stateHash(machine: StateMachine): string {
  const keys = new KvHash(machine);
  while (!keys.step(Number.POSITIVE_INFINITY));
  const leases: string[] = [];
  machine.forEachLease((id) => {
    const lease = machine.lease(id);
    assert(lease !== undefined, "a lease that is listed exists");
    const left = machine.checkpointOf(id);
    leases.push(`${id}:${lease.ttlSeconds}:${left}:${lease.keys.join(",")}`);
  });
  const leaseHash = Bun.hash.crc32(leases.sort().join(";"));
  const { appliedIndex, revision, compactRevision } = machine;
  const hashes = [keys.hash, leaseHash, clusterHash(machine)];
  return [appliedIndex, revision, compactRevision, ...hashes].join("-");
}

/** Members, removed ids, alarms and auth, each told apart from what stands beside it. */
function clusterHash(machine: StateMachine): number {
  const members = machine
    .members()
    .map((each) => [hexOf(each.ID), each.name, each.peerURLs, each.clientURLs, each.isLearner]);
  const alarms = machine
    .alarms()
    .map(({ memberID, alarm }) => [hexOf(memberID), alarm, machine.isAlarmByQuota(memberID)]);
  const { version, downgradeTarget } = machine.clusterVersion;
  const removed = machine.removedMembers().map(hexOf);
  return Bun.hash.crc32(
    JSON.stringify([members, removed, alarms, version, downgradeTarget, authOf(machine)]),
  );
}

function authOf({ auth }: StateMachine): unknown[] {
  const users = auth.users().map(({ name, password, roles, noPassword }) => {
    return [name, latin1(password), roles, noPassword, auth.tokensFrom(name)];
  });
  const key = auth.signingKey?.fingerprint();
  return [auth.enabled, auth.revision, users, auth.roles(), key, auth.tokensFrom("")];
}

function hexOf(id: bigint): string {
  return id.toString(16);
}
