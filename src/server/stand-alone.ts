/**
 * What --force-new-cluster means: the last member that is left of a cluster goes on alone, with all
 * that its log holds (etcd: bootstrap.go, "discarding uncommitted entries"; here these are kept,
 * since what was answered may be among them). Changes that remove the others are appended in the
 * next term, as a leader of that term would have; nobody else can have been elected in it unless
 * the others live, and then two clusters with one id exist, which is what "unsafe" warns of.
 */
import { ByteWriter } from "../base/bytes.ts";
import type { Random } from "../base/ports.ts";
import { MIB } from "../base/units.ts";
import type { LogStore } from "../node/ports.ts";
import { MemberPromoteRequest, MemberRemoveRequest } from "../proto/gen/etcdserverpb.ts";
import { type ConfigurationChange, leaveChange } from "../raft/membership/change.ts";
import { encodeChange } from "../raft/membership/codec.ts";
import { isJoint } from "../raft/membership/configuration.ts";
import { configurationAfter } from "../raft/reconfigure.ts";
import type { Configuration, Entry, MemberId } from "../raft/types.ts";
import { addCommand, beginBatch, CommandKind, endBatch } from "../state/command.ts";
import { StorageError } from "../storage/storage-error.ts";

const READ_BYTES = 4 * MIB;

/**
 * Makes `self` the only member in a log that has begun; the log is to be opened anew if it returns
 * true. False: it is alone already.
 */
export async function standAlone(log: LogStore, self: MemberId, random: Random): Promise<boolean> {
  const { hardState, snapshot } = log.stored;
  if (hardState === undefined || snapshot === undefined) {
    throw new StorageError("unusable", "--force-new-cluster: this member's log has not begun");
  }
  const entries = changesTo(self, log, hardState.term + 1, random);
  const last = entries.at(-1);
  if (last === undefined) return false;
  const alone = { term: last.term, vote: self as bigint, commit: last.index };
  const written = Promise.withResolvers<void>();
  log.write({ hardState: alone, entries, snapshot: undefined }, written.resolve);
  await written.promise;
  return true;
}

/** The entries after which nobody but `self` is a member. */
function changesTo(self: MemberId, log: LogStore, term: number, random: Random): Entry[] {
  const entries: Entry[] = [];
  const origin = random.id63();
  let configuration = newestConfiguration(log);
  const append = (change: ConfigurationChange): void => {
    const index = log.stored.lastIndex + 1 + entries.length;
    const entry: Entry = { index, term, kind: "config", payload: encodeChange(change) };
    configuration = configurationAfter(configuration, entry);
    entries.push(entry);
  };
  const step = (
    action: "add-voter" | "remove",
    id: MemberId,
    kind: CommandKind,
    body: Uint8Array,
  ): void => {
    const out = new ByteWriter(64);
    beginBatch(out, origin, entries.length + 1);
    addCommand(out, kind, body, 0, body.length);
    append({ transition: "auto", steps: [{ action, id }], context: endBatch(out, 1) });
  };
  if (isJoint(configuration)) append(leaveChange());
  if (configuration.learners.includes(self)) {
    step("add-voter", self, CommandKind.memberPromote, bodyOf(MemberPromoteRequest, self));
  }
  for (const id of [...configuration.voters, ...configuration.learners]) {
    if (id === self) continue;
    step("remove", id, CommandKind.memberRemove, bodyOf(MemberRemoveRequest, id));
  }
  if (configuration.voters.join() !== `${self}`) {
    throw new StorageError("unusable", "--force-new-cluster: this member was removed before");
  }
  return entries;
}

function bodyOf(type: typeof MemberRemoveRequest | typeof MemberPromoteRequest, ID: bigint) {
  const out = new ByteWriter(16);
  type.encode({ ID }, out);
  return out.copy();
}

/** After every change in the log, decided or not. */
function newestConfiguration(log: LogStore): Configuration {
  const { snapshot, lastIndex } = log.stored;
  if (snapshot === undefined) throw new StorageError("unusable", "the log has no beginning");
  let { configuration } = snapshot;
  let at = snapshot.index + 1;
  while (at <= lastIndex) {
    const entries = log.read(at, lastIndex + 1, READ_BYTES);
    for (const entry of entries) {
      if (entry.kind === "config") configuration = configurationAfter(configuration, entry);
    }
    at += entries.length;
  }
  return configuration;
}
