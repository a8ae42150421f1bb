/**
 * The writes under way to the durable log, and what their ends prove.
 *
 * Entries can be overwritten while an older version of them is still being written, and even
 * overwritten back to the same (index, term) (the ABA race):
 *
 *   write 1: (12, term 1)   write 2: (12, term 2)   write 3: (12, term 1)
 *
 * The end of write 1 must not count for entry 12 as it now stands, since write 2 will still
 * replace it on disk. So each write has a number of its own, and truncating the log lowers what
 * the writes under way can prove.
 */
import { assert } from "../../base/assert.ts";
import type { WriteAck } from "../ready.ts";

interface Write {
  readonly ack: WriteAck;
  /** The entries up to here are durable when it ends. */
  proves: number;
}

export class Writes {
  #sequence = 0;
  readonly #underWay: Write[] = [];

  /** The number the next write will get. */
  get next(): number {
    return this.#sequence + 1;
  }

  get count(): number {
    return this.#underWay.length;
  }

  /** Names a write whose last entry is (term, index). */
  begin(term: number, index: number): WriteAck {
    this.#sequence++;
    const ack: WriteAck = { sequence: this.#sequence, term, index };
    this.#underWay.push({ ack, proves: index });
    return ack;
  }

  /** A name for a Ready that writes nothing which needs an answer. */
  idle(term: number, index: number): WriteAck {
    return { sequence: this.#sequence, term, index };
  }

  /** The log now ends before `from`; what is under way cannot prove more. */
  truncate(from: number): void {
    for (const write of this.#underWay) {
      if (write.proves >= from) write.proves = from - 1;
    }
  }

  /**
   * The write is durable, and so are all before it. Returns up to which index the log is durable
   * thereby, 0 if nothing new is known.
   */
  end(ack: WriteAck): number {
    assert(ack.sequence <= this.#sequence, "the end of a write that never began");
    let proves = 0;
    while (this.#underWay.length > 0) {
      const write = this.#underWay[0] as Write;
      if (write.ack.sequence > ack.sequence) break;
      if (write.ack.sequence === ack.sequence) {
        assert(write.ack.term === ack.term && write.ack.index === ack.index, "ack was altered");
      }
      if (write.proves > proves) proves = write.proves;
      this.#underWay.shift();
    }
    return proves;
  }
}
