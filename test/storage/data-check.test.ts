/** Parts of a data directory that contradict each other, one case after the other. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StoredLog } from "../../src/node/ports.ts";
import { requireFiles, requireFit } from "../../src/storage/data-check.ts";
import { type DataDir, openDataDir } from "../../src/storage/data-dir.ts";
import { writeIdentity } from "../../src/storage/identity.ts";
import { snapshotAt } from "./log-store.contract.ts";

const home = mkdtempSync(join(tmpdir(), "aether-check-"));
afterAll(() => rmSync(home, { recursive: true }));

const IDENTITY = { clusterId: 1n, memberId: 2n, name: "a", begun: false };
const HARD_STATE = { term: 1, vote: 0n, commit: 5 };

let count = 0;
function withDirectory(begun: boolean | undefined, use: (dataDir: DataDir) => void): void {
  const dataDir = openDataDir(join(home, `${++count}`));
  if (begun !== undefined) writeIdentity(dataDir.path, { ...IDENTITY, begun });
  use(dataDir);
  dataDir.release();
}

/** A log after `start` (none: undefined) up to `last`. */
function logOf(start: number | undefined, last: number, hardState = true): StoredLog {
  return {
    hardState: hardState ? HARD_STATE : undefined,
    snapshot: start === undefined ? undefined : snapshotAt(start),
    firstIndex: (start ?? 0) + 1,
    lastIndex: last,
  };
}

const NO_LOG = logOf(undefined, 0, false);

/** Whether the member has begun, its log, what it applied; who it is, or why it is refused. */
const cases: [string, boolean | undefined, StoredLog, number, "new" | "known" | string][] = [
  ["an empty directory", undefined, NO_LOG, 0, "new"],
  ["an identity before the log", false, NO_LOG, 0, "new"],
  ["one that joins and has seen a term", false, logOf(undefined, 0), 0, "new"],
  ["a founder whose log has not begun", false, NO_LOG, 1, "new"],
  ["a founder that has applied nothing else durably", true, logOf(1, 9), 1, "known"],
  ["a founder before it noted that it begins", false, logOf(1, 1), 1, "known"],
  ["a founder without its state", true, logOf(1, 9), 0, "state.db: it ends at 0, and the log"],
  ["a state up to the end of its log", true, logOf(5, 9), 9, "known"],
  ["a state at the start of its log", true, logOf(5, 9), 5, "known"],
  ["a log without an identity", undefined, logOf(1, 9), 0, "identity.json: it is gone"],
  ["a term without an identity", undefined, logOf(undefined, 0), 0, "identity.json: it is gone"],
  ["a state without an identity", undefined, NO_LOG, 7, "identity.json: it is gone"],
  ["a log that is gone", true, NO_LOG, 0, "raft.db: where it begins is gone"],
  ["a log that is gone, a state that is not", false, NO_LOG, 7, "raft.db: where it begins is"],
  ["entries without a start", false, logOf(undefined, 9), 0, "raft.db: where it begins is gone"],
  ["a log without a hard state", true, logOf(5, 9, false), 9, "raft.db: its hard state is gone"],
  ["a log that lost its end", true, logOf(5, 8), 9, "raft.db: it ends at 8, and 9 was applied"],
  ["a state behind its log", true, logOf(5, 9), 4, "state.db: it ends at 4, and the log begins"],
  ["no state, and a log that was cut", true, logOf(5, 9), 0, "state.db: it ends at 0, and the"],
];

describe("what a start finds", () => {
  for (const [name, begun, log, appliedIndex, expected] of cases) {
    test(name, () => {
      withDirectory(begun, (dataDir) => {
        const look = (): unknown => requireFit(dataDir, 1, { log, appliedIndex });
        if (expected === "new") expect(look()).toBeUndefined();
        else if (expected === "known") expect(look()).toMatchObject({ memberId: 2n, begun });
        else expect(look).toThrow(expected);
      });
    });
  }

  test("files must be there only of a member that has begun", () => {
    for (const begun of [undefined, false]) {
      withDirectory(begun, (dataDir) => requireFiles(dataDir, 1));
    }
    withDirectory(true, (dataDir) => {
      expect(() => requireFiles(dataDir, 1)).toThrow("raft.db: it is gone, and this member has");
      writeFileSync(dataDir.logPath, "x");
      writeFileSync(dataDir.statePath(1), "");
      expect(() => requireFiles(dataDir, 1)).toThrow("state.db: it is gone, and this member has");
      writeFileSync(dataDir.statePath(1), "x");
      requireFiles(dataDir, 1);
    });
  });
});
