/**
 * The planted bugs: what each breaks, where, and within how many seeds (from 1 on) it is found.
 * Most are bugs that other systems have had; the number in brackets is etcd's issue, if it was one
 * of etcd's.
 */

export interface Patch {
  readonly file: string;
  /** Stands there exactly once. */
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly name: string;
  readonly what: string;
  readonly seeds: number;
  readonly patches: readonly Patch[];
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: "ack-before-sync",
    what: "acknowledgements and votes do not wait for the disk",
    seeds: 20,
    patches: [
      {
        file: "src/node/log-writer.ts",
        find: "this.#pending.push({ ack, snapshot, after: [...after], sentMs, bytes });",
        replace:
          "this.#ports.send(after);\n" +
          "      this.#pending.push({ ack, snapshot, after: [], sentMs, bytes });",
      },
    ],
  },
  {
    name: "own-ack-early",
    what: "the leader counts itself when it appends, not when its write is durable [14370]",
    seeds: 20,
    patches: [
      {
        file: "src/raft/replication.ts",
        find: "const index = core.tracker.quorumMatch();",
        replace:
          "core.tracker.self?.acknowledge(core.log.lastIndex);\n" +
          "  const index = core.tracker.quorumMatch();",
      },
      {
        file: "src/raft/verify.ts",
        find:
          "assert(tracker.self.match === log.stable, " +
          '"V3: a leader counts what is durable here");',
        replace: "",
      },
    ],
  },
  {
    name: "old-term-commit",
    what: "an entry of an earlier term is committed by counting (paper, figure 8)",
    seeds: 500,
    patches: [
      {
        file: "src/raft/replication.ts",
        find: "index <= core.log.committed || core.log.term(index) !== core.term",
        replace: "index <= core.log.committed",
      },
    ],
  },
  {
    name: "vote-lost",
    what: "a restarted member does not know whom it voted for",
    seeds: 100,
    patches: [
      {
        file: "src/raft/restore.ts",
        find: "const vote = (hardState?.vote ?? NOBODY) as MemberId;",
        replace: "const vote = NOBODY as MemberId;",
      },
    ],
  },
  {
    name: "vote-for-shorter-log",
    what: "votes do not ask how complete the candidate's log is",
    seeds: 20,
    patches: [
      {
        file: "src/raft/election.ts",
        find: "const granted = free && core.log.isUpToDate(message.lastIndex, message.lastTerm);",
        replace: "const granted = free;",
      },
    ],
  },
  {
    name: "truncate-without-conflict",
    what: "a late, shorter append cuts off what came after it",
    seeds: 100,
    patches: [
      {
        file: "src/raft/log/raft-log.ts",
        find: "if (this.term(entry.index) !== entry.term) break;",
        replace: "if (this.term(entry.index) !== entry.term || i === 0) break;",
      },
    ],
  },
  {
    name: "commit-past-match",
    what: "a heartbeat commits what the follower may not have in this form",
    seeds: 20,
    patches: [
      {
        file: "src/raft/replication.ts",
        find: "const commit = Math.min(peer.match, core.log.committed);",
        replace: "const commit = core.log.committed;",
      },
    ],
  },
  {
    name: "read-without-quorum",
    what: "the leader grants reads without asking whether it still leads",
    seeds: 300,
    patches: [
      {
        file: "src/raft/read-index.ts",
        find: "if (core.tracker.isAlone) confirmReads(core);",
        replace:
          "const { leaderReads } = core;\n" +
          "  for (const round of leaderReads.confirm(leaderReads.round)) grant(core, round);\n" +
          "  if (core.tracker.isAlone) confirmReads(core);",
      },
    ],
  },
  {
    name: "read-before-own-commit",
    what: "a new leader serves reads before it knows what was committed before it",
    seeds: 50,
    patches: [
      {
        file: "src/raft/core.ts",
        find: 'return core.role === "leader" && core.log.committed >= core.termStart;',
        replace: 'return core.role === "leader";',
      },
    ],
  },
  {
    name: "read-before-apply",
    what: "a granted read does not wait until its index is applied",
    seeds: 30,
    patches: [
      {
        file: "src/node/reads.ts",
        find: "if (index <= applied) this.#run(id, round, undefined);",
        replace: "if (index <= applied + 3) this.#run(id, round, undefined);",
      },
    ],
  },
  {
    name: "read-number-reused",
    what: "forwarded reads are asked again under the same number [20418]",
    seeds: 200,
    patches: [
      {
        file: "src/raft/reads/forwarded-reads.ts",
        find: "    this.#sequence++;\n",
        replace: "    this.#sequence = this.#base + 1;\n",
      },
    ],
  },
  {
    name: "lease-read-too-long",
    what: "the leader's lease outlives the loyalty of its voters",
    seeds: 1000,
    patches: [
      {
        file: "src/raft/config.ts",
        find: "return (config.electionTicks - 1) * tickMs * (1 - (2 * driftPercentMax) / 100);",
        replace: "return 3 * config.electionTicks * tickMs * (1 - (2 * driftPercentMax) / 100);",
      },
    ],
  },
  {
    name: "applied-index-behind",
    what: "the state is stored with an applied index that is one too low: applied twice",
    seeds: 30,
    patches: [
      {
        file: "src/state/machine.ts",
        find:
          "      appliedIndex: this.#appliedIndex,\n" +
          "      appliedTerm: this.#appliedTerm,\n      rows:",
        replace:
          "      appliedIndex: Math.max(this.#appliedIndex - 1, 1),\n" +
          "      appliedTerm: this.#appliedTerm,\n      rows:",
      },
    ],
  },
  {
    name: "log-compacted-too-far",
    what: "the log is compacted beyond what is durable in the state",
    seeds: 200,
    patches: [
      {
        file: "src/node/compactor.ts",
        find: "this.#compactLog(Math.min(durableIndex, this.#keptFrom(long)));",
        replace: "this.#compactLog(this.#keptFrom(long));",
      },
    ],
  },
  {
    name: "forwarded-in-another-term",
    what: "a leader takes a batch that was meant for the leader of another term",
    seeds: 100,
    patches: [
      {
        file: "src/node/requests.ts",
        find: 'raft.role !== "leader" || raft.term !== term',
        replace: 'raft.role !== "leader"',
      },
    ],
  },
  {
    name: "proposed-again-too-soon",
    what: "a batch is proposed again at a change of leader, though it may be committed yet",
    seeds: 20,
    patches: [
      {
        file: "src/node/requests.ts",
        find: "if (raft.leader === NOBODY) this.#leaderLostMs = clock.monotonicMs();",
        replace:
          "for (const batch of this.#proposals.placedBefore(raft.term)) {\n" +
          "      if (!batch.isChange) this.#proposals.again(batch);\n    }\n" +
          "    if (raft.leader === NOBODY) this.#leaderLostMs = clock.monotonicMs();",
      },
    ],
  },
  {
    name: "snapshot-forgets-batches",
    what: "a batch that a snapshot may hold is proposed again",
    seeds: 50,
    patches: [
      {
        file: "src/node/requests.ts",
        find: 'this.#proposals.refuse(batch, new AetherError("timeout_leader_failure"));\n    }',
        replace: "this.#proposals.again(batch);\n    }",
      },
    ],
  },
  {
    name: "hub-not-restored",
    what: "watchers are not told that a snapshot replaced the history",
    seeds: 50,
    patches: [
      {
        file: "src/node/installation.ts",
        find: "      hub.restored(current.machine);\n",
        replace: "",
      },
    ],
  },
  {
    name: "watchers-skip-a-snapshot",
    what: "after a snapshot, watchers go on behind it instead of where they were [15271]",
    seeds: 50,
    patches: [
      {
        file: "src/watch/hub.ts",
        find: "register.place(watcher, before + 1);",
        replace: "register.place(watcher, revision + 1);",
      },
    ],
  },
  {
    name: "watcher-skips-a-compaction",
    what: "a watcher behind a compaction goes on without a word [18089]",
    seeds: 100,
    patches: [
      {
        file: "src/watch/hub.ts",
        find:
          "        register.forgetCompacted(watcher);\n" +
          '        sink.send({ kind: "canceled", watchId: watcher.id, ' +
          "revision: 0, compactRevision });",
        replace: "        register.place(watcher, compactRevision);",
      },
    ],
  },
  {
    name: "lease-too-short",
    what: "leases run out a tenth early",
    seeds: 20,
    patches: [
      {
        file: "src/node/lease-clock.ts",
        find: "const deadlineMs = nowMs + leftMs;",
        replace: "const deadlineMs = nowMs + 0.9 * ttlMs;",
      },
    ],
  },
  {
    name: "leases-counted-everywhere",
    what: "a new leader goes on with a count that missed the renewals of the old one",
    seeds: 50,
    patches: [
      {
        file: "src/node/expiry.ts",
        find:
          "    this.#clock.clear();\n" +
          "    this.checkpoints.clear();\n" +
          "    this.#current.machine.forEachLease((id, ttlSeconds, remainingSeconds) => {\n" +
          "      this.#count(id, ttlSeconds * MS_PER_S, remainingSeconds, nowMs);\n" +
          "      if (remainingSeconds > 0) this.checkpoints.noted(id, true);\n    });",
        replace: "    assert(nowMs >= 0);",
      },
      {
        file: "src/node/expiry.ts",
        find: "    this.#leading = false;\n    this.#clock.clear();",
        replace: "    this.#leading = false;",
      },
      {
        file: "src/node/expiry.ts",
        find: "    if (!this.#leading) return;\n    this.#clock.start",
        replace: "    this.#clock.start",
      },
      {
        file: "src/node/expiry.ts",
        find: 'import { ByteWriter } from "../base/bytes.ts";',
        replace:
          'import { assert } from "../base/assert.ts";\n' +
          'import { ByteWriter } from "../base/bytes.ts";',
      },
    ],
  },
  {
    name: "old-leader-expires",
    what: "a deposed leader's expiry counts when it is applied in a later term [12528]",
    seeds: 100,
    patches: [
      {
        file: "src/state/machine.ts",
        find: "if (term === entryTerm) return;",
        replace: "if (term >= 0) return;",
      },
    ],
  },
  {
    name: "renewed-by-old-leader",
    what: "a renewal does not ask whether the member still leads [20615]",
    seeds: 50,
    patches: [
      {
        file: "src/node/lease-calls.ts",
        find: "      group.read((error) => {\n        if (error !== undefined) done(error);",
        replace:
          "      const now = (run: (error: AetherError | undefined) => void): void =>" +
          " run(undefined);\n" +
          "      now((error) => {\n        if (error !== undefined) done(error);",
      },
    ],
  },
  {
    name: "snapshot-without-leases",
    what: "leases are not taken over from a snapshot",
    seeds: 50,
    patches: [
      {
        file: "src/node/current-machine.ts",
        find: "this.#machine = restored(this.#store, this.#history);",
        replace:
          "const { stored } = this.#store;\n" +
          '    const records = [...stored.records].filter(({ space }) => space !== "lease");\n' +
          "    const store = { stored: { ...stored, records } } as unknown as StateStore;\n" +
          "    this.#machine = restored(store, this.#history);",
      },
    ],
  },
  {
    name: "unsynced-learner-promoted",
    what: "a learner may vote before it has the log",
    seeds: 200,
    patches: [
      {
        file: "src/cluster/change-plan.ts",
        find: "const READY_SHARE = 0.9;",
        replace: "const READY_SHARE = 0;",
      },
    ],
  },
  {
    name: "renewed-while-expiring",
    what: "a lease whose expiry is in the log can be renewed [20615]",
    seeds: 200,
    patches: [
      {
        file: "src/node/lease-clock.ts",
        find: "lease === undefined || lease.expiring || lease.deadlineMs <= nowMs",
        replace: "lease === undefined",
      },
    ],
  },
  {
    name: "vote-before-sync",
    what: "a vote is told before it is durable",
    seeds: 50,
    patches: [
      {
        file: "src/raft/election.ts",
        find: '  sendAfterSync(core, {\n    type: isPreVote ? "pre-vote-response"',
        replace: '  sendNow(core, {\n    type: isPreVote ? "pre-vote-response"',
      },
    ],
  },
  {
    name: "copy-of-another-index",
    what: "a copy of the state is announced as the one that Raft asked for, not as what it is",
    seeds: 100,
    patches: [
      {
        file: "src/node/copies.ts",
        find: "const meta = raft.snapshotAt(held.index);",
        replace: "const { meta } = message;",
      },
    ],
  },
];
