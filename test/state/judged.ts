/** The judgement of a received state (src/state/stored-check.ts) on one that lies in memory. */
import { AetherError } from "../../src/base/errors.ts";
import type { Row, StoredState } from "../../src/state/ports.ts";
import { StoredCheck } from "../../src/state/stored-check.ts";

/** Throws AetherError "corrupt" if no machine could go on from it. */
export function judge({ records, rows }: Pick<StoredState, "records" | "rows">): void {
  const bySeq = new Map<number, Row>();
  const check = new StoredCheck({
    refuse: (what, cause) => new AetherError("corrupt", what, { cause }),
    read: (seq) => bySeq.get(seq),
    secret: 0x5ec2e7n,
  });
  for (const { space, key, value } of records) check.record(space, key, value);
  for (const row of rows) {
    check.row(row);
    bySeq.set(row.seq, row);
  }
  check.end();
}
