/**
 * The part of the machine that is about the cluster itself: members, alarms and who may do what,
 * the commands that change them, the records that keep them. None of it makes a revision.
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import {
  AlarmRequest,
  DowngradeRequest,
  Member,
  MemberPromoteRequest,
  MemberRemoveRequest,
  MemberUpdateRequest,
} from "../proto/gen/etcdserverpb.ts";
import { Alarms } from "./alarms.ts";
import { isAuthCommand, runAuth } from "./auth/auth-commands.ts";
import { AuthStore } from "./auth/auth-store.ts";
import { ClusterVersion } from "./cluster-version.ts";
import { CommandKind } from "./command.ts";
import { Members } from "./members.ts";
import type { StateRecord } from "./ports.ts";
import type { AlarmResult, AuthResult, MemberResult, VersionResult } from "./results.ts";

/** A command as it lies in its batch. */
export interface CommandBody {
  readonly kind: number;
  readonly payload: Buffer;
  readonly start: number;
  readonly end: number;
  /** The index of its entry. */
  readonly index: number;
}

/** What such a command comes to. */
export type ClusterResult = MemberResult | AlarmResult | AuthResult | VersionResult;

export class ClusterRecords {
  readonly members = new Members();
  readonly alarms = new Alarms();
  readonly version = new ClusterVersion();
  readonly auth = new AuthStore();

  /** Runs a command; what it changed is added to `records`. Fails as its parts do. */
  run(command: CommandBody, revision: number, records: StateRecord[]): ClusterResult {
    const { kind, payload, start, end } = command;
    if (isAuthCommand(kind)) {
      const change = runAuth(this.auth, kind, command, records);
      return { kind: "auth", revision, authRevision: this.auth.revision, change };
    }
    switch (kind) {
      case CommandKind.alarm: {
        const alarms = this.alarms.run(AlarmRequest.decode(payload, start, end), records);
        return { kind: "alarm", revision, alarms };
      }
      case CommandKind.quotaAlarm: {
        const alarms = this.alarms.runQuota(AlarmRequest.decode(payload, start, end), records);
        return { kind: "alarm", revision, alarms };
      }
      case CommandKind.clusterVersion:
        this.version.set(DowngradeRequest.decode(payload, start, end).version, records);
        return { kind: "version", revision };
      case CommandKind.downgrade:
        this.version.downgrade(DowngradeRequest.decode(payload, start, end), records);
        return { kind: "version", revision };
    }
    return { kind: "member", revision, member: this.#change(command, records) };
  }

  /** Takes over a record; one of another room is passed over. */
  restore(space: string, key: Key, value: Uint8Array): void {
    if (this.members.restore(space, key, value) || this.alarms.restore(space, key, value)) return;
    if (this.version.restore(space, key, value)) return;
    this.auth.restore(space, key, value);
  }

  /** The member after the change; undefined when it is gone. */
  #change({ kind, payload, start, end }: CommandBody, records: StateRecord[]): Member | undefined {
    const { members } = this;
    switch (kind) {
      case CommandKind.memberAdd:
        return members.add(Member.decode(payload, start, end), records);
      case CommandKind.memberRemove:
        members.remove(MemberRemoveRequest.decode(payload, start, end).ID, records);
        return undefined;
      case CommandKind.memberPromote:
        return members.promote(MemberPromoteRequest.decode(payload, start, end).ID, records);
      case CommandKind.memberUpdate: {
        const { ID, peerURLs } = MemberUpdateRequest.decode(payload, start, end);
        return members.update(ID, peerURLs, records);
      }
      case CommandKind.memberPublish:
        return members.publish(Member.decode(payload, start, end), records);
      default:
        assert(false, `command ${kind} is unknown: written by a newer program?`);
    }
  }
}
