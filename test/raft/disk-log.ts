/**
 * A log on a pretended disk: what was written is readable, what is being written is lost in a
 * crash. One transaction at a time, in order, as the log store promises.
 */
import type { Persist } from "../../src/raft/ready.ts";
import type { Restored } from "../../src/raft/restore.ts";
import type { Entry, HardState, LogReader, SnapshotMeta } from "../../src/raft/types.ts";

export class DiskLog implements LogReader {
  hardState: HardState | undefined;
  snapshot: SnapshotMeta | undefined;
  entriesStored: Entry[] = [];
  /** Entries read through LogReader, to show that memory spares the disk. */
  readCount = 0;

  get firstIndex(): number {
    return (this.snapshot?.index ?? 0) + 1;
  }

  get lastIndex(): number {
    return this.firstIndex - 1 + this.entriesStored.length;
  }

  term(index: number): number | undefined {
    this.readCount++;
    return this.entriesStored[index - this.firstIndex]?.term;
  }

  entries(from: number, to: number, bytesMax: number): readonly Entry[] {
    const out: Entry[] = [];
    let bytes = 0;
    for (let index = from; index < to; index++) {
      const entry = this.entriesStored[index - this.firstIndex];
      if (entry === undefined) break;
      bytes += entry.payload.length;
      if (out.length > 0 && bytes > bytesMax) break;
      out.push(entry);
      this.readCount++;
    }
    return out;
  }

  /** Performs one transaction. */
  write(persist: Pick<Persist, "hardState" | "snapshot" | "entries">): void {
    if (persist.hardState !== undefined) this.hardState = persist.hardState;
    if (persist.snapshot !== undefined) {
      this.snapshot = persist.snapshot;
      this.entriesStored = [];
    }
    const first = persist.entries[0];
    if (first === undefined) return;
    const keep = first.index - this.firstIndex;
    if (keep < 0 || keep > this.entriesStored.length) throw new Error("a gap in the log");
    this.entriesStored.length = keep;
    for (const entry of persist.entries) this.entriesStored.push(entry);
  }

  /** Drops the entries up to meta.index. */
  compact(meta: SnapshotMeta): void {
    this.entriesStored.splice(0, meta.index - this.firstIndex + 1);
    this.snapshot = meta;
  }

  restored(appliedIndex: number): Restored {
    return { hardState: this.hardState, snapshot: this.snapshot, appliedIndex };
  }
}
