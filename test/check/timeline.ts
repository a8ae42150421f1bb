import type { Must } from "./problem.ts";

/**
 * Calls and returns of the musts that are not done, in order of time, as a doubly linked list; a
 * call at the very time of a return counts as before it. Before the first return nothing is over,
 * so every call before it may come next.
 */
export class Timeline {
  readonly #numberOf: ReadonlyMap<Must, number>;
  readonly #musts: readonly Must[];
  /** Node 0 is the head; must i has its call at 2i + 1 and its return at 2i + 2. */
  readonly #next: Int32Array;
  readonly #previous: Int32Array;

  constructor(musts: readonly Must[]) {
    this.#musts = musts;
    this.#numberOf = new Map(musts.map((must, index) => [must, index]));
    const nodes = Array.from({ length: musts.length * 2 }, (_, index) => index + 1);
    const time = new Float64Array(nodes.length + 1);
    for (const [index, { called, returned }] of musts.entries()) {
      time[2 * index + 1] = called;
      time[2 * index + 2] = returned;
    }
    const isReturn = (node: number): number => 1 - (node & 1);
    nodes.sort((a, b) => {
      return (time[a] as number) - (time[b] as number) || isReturn(a) - isReturn(b) || a - b;
    });
    this.#next = new Int32Array(nodes.length + 1);
    this.#previous = new Int32Array(nodes.length + 1);
    let before = 0;
    for (const node of nodes) {
      this.#next[before] = node;
      this.#previous[node] = before;
      before = node;
    }
    this.#next[before] = 0;
    this.#previous[0] = before;
  }

  /** Those that may come next. */
  enabled(): Must[] {
    const found: Must[] = [];
    let node = this.#next[0] as number;
    for (; (node & 1) === 1; node = this.#next[node] as number) {
      found.push(this.#musts[(node - 1) >> 1] as Must);
    }
    return found;
  }

  /** The time by which something is over that is not done: what was sent later comes later. */
  limit(): number {
    let node = this.#next[0] as number;
    while ((node & 1) === 1) node = this.#next[node] as number;
    return node === 0 ? Number.POSITIVE_INFINITY : (this.#musts[(node - 2) >> 1] as Must).returned;
  }

  lift(must: Must): void {
    const number = this.#numberOf.get(must) as number;
    for (const node of [2 * number + 1, 2 * number + 2]) {
      const [next, previous] = [this.#next[node] as number, this.#previous[node] as number];
      this.#next[previous] = next;
      this.#previous[next] = previous;
    }
  }

  /** Takes back the last lift that was not taken back. */
  unlift(must: Must): void {
    const number = this.#numberOf.get(must) as number;
    for (const node of [2 * number + 2, 2 * number + 1]) {
      this.#next[this.#previous[node] as number] = node;
      this.#previous[this.#next[node] as number] = node;
    }
  }
}
