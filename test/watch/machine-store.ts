/**
 * The replicated machine as a source of watches: changes are transactions, rows reach the store at
 * random moments, and what compaction allows to remove is removed at random moments too.
 */
import { bytesOf } from "../../src/base/bytes.ts";
import { Prng } from "../../src/base/prng.ts";
import { DeleteRangeRequest, PutRequest, RequestOp } from "../../src/proto/gen/etcdserverpb.ts";
import type { WatchRow, WatchSource } from "../../src/watch/ports.ts";
import { Driver } from "../state/driver.ts";
import type { Change } from "./memory-source.ts";

export class MachineStore {
  readonly #driver = new Driver(1 << 12);
  readonly #prng: Prng;

  constructor(seed: number) {
    this.#prng = new Prng(seed);
  }

  get source(): WatchSource {
    return this.#driver.machine;
  }

  apply(changes: readonly Change[]): readonly WatchRow[] {
    const success = changes.map(({ key, value }) =>
      value === undefined
        ? RequestOp.create({ requestDeleteRange: DeleteRangeRequest.create({ key }) })
        : RequestOp.create({ requestPut: PutRequest.create({ key, value: bytesOf(value) }) }),
    );
    this.#driver.txn({ success });
    const rows = this.#driver.machine.takeRows();
    if (this.#prng.chance(20)) this.#driver.flush();
    return rows;
  }

  compact(revision: number): void {
    this.#driver.compact(revision);
    if (this.#prng.chance(50)) return;
    this.#driver.flush();
    this.#driver.history.compact(this.#driver.machine.physicalTarget());
  }
}
