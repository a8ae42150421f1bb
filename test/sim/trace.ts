/**
 * Everything that happens in a simulation, in order: as one hash always, so that two runs of a seed
 * can be compared, and as lines when somebody wants to read them.
 */

export type Line = (text: string) => void;

/** Hashes of the words that events are called by. */
const words = new Map<string, number>();

function hashOf(word: string): number {
  let hash = words.get(word);
  if (hash === undefined) {
    hash = Bun.hash.crc32(word);
    words.set(word, hash);
  }
  return hash;
}

export class Trace {
  readonly #nowMs: () => number;
  readonly #line: Line | undefined;
  /** How often each kind of event happened. */
  readonly counts: Record<string, number> = {};
  #hash = 0x811c9dc5;

  constructor(nowMs: () => number, line: Line | undefined) {
    this.#nowMs = nowMs;
    this.#line = line;
  }

  get hash(): number {
    return this.#hash >>> 0;
  }

  /** `what` happened to or at `who`; `a` and `b` say which, `more` in words. */
  note(what: string, who: number, a = 0, b = 0, more?: () => string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1;
    this.#mix(hashOf(what));
    this.#mix(Math.floor(this.#nowMs() * 1000));
    this.#mix(who);
    this.#mix(a);
    this.#mix(b);
    this.say(what, who, more ?? (() => [a, b].filter((number) => number !== 0).join(" ")));
  }

  /** A line for readers, beside what happens. */
  say(what: string, who: number, more: () => string): void {
    if (this.#line === undefined) return;
    const at = this.#nowMs().toFixed(3).padStart(10);
    this.#line(`${at} ${who === 0 ? "  " : `n${who}`} ${what.padEnd(12)} ${more()}`.trimEnd());
  }

  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ (value | 0), 0x01000193);
    this.#hash ^= this.#hash >>> 15;
  }
}
