/**
 * Looks for an order of all requests in which a store that runs them one by one gives the answers
 * that were seen, and which puts no request before one that was over when it was sent. That is
 * Wing and Gong's search with Lowe's memory of visited places ("Testing for linearizability",
 * 2017): a place is the set of requests that are done and the state of the store.
 *
 * What keeps it short:
 *   - a request that fits and changes nothing is taken without an alternative: whatever order
 *     there is, there is one in which it comes now
 *   - in an exact history revisions are the order; a request without an answer is tried only
 *     where a revision is left for it (suspects.ts)
 *   - there a dead end is laid to the keys that are wrong (blame.ts), and the search goes back
 *     over all choices that have nothing to do with them (conflict-directed backjumping: Prosser,
 *     "Hybrid algorithms for the constraint satisfaction problem", 1993)
 */
import { assert } from "../../src/base/assert.ts";
import { add, type Conflict, spent } from "./blame.ts";
import { Board, type Exact } from "./board.ts";
import { isMust, type May, type Must, type Problem } from "./problem.ts";
import type { Store } from "./store.ts";

/** A request in the order that was found. */
export interface Step {
  readonly request: Must | May;
  /** Where the store's trail was before it. */
  readonly mark: number;
}

export type Found =
  | { readonly kind: "order"; readonly steps: readonly Step[]; readonly store: Store }
  /** The longest order, and what could not come next, with the reasons. */
  | { readonly kind: "none"; readonly deadEnd: DeadEnd }
  | { readonly kind: "gave-up"; readonly deadEnd: DeadEnd };

export interface DeadEnd {
  readonly done: readonly (Must | May)[];
  readonly left: readonly { readonly must: Must; readonly why: string }[];
  readonly revision: number;
}

interface Frame {
  /** Where the search was when it came here. */
  readonly place: number;
  readonly revision: number;
  moves: (Must | May)[];
  at: number;
  /** Which of the stages of #addMoves the last moves are of. */
  stage: number;
  taken: Step | undefined;
  /** Why the moves that were tried lead nowhere. */
  readonly conflict: Map<string, number>;
  /** Whether a refused request did not fit, which may come at any revision. */
  hasFloating: boolean;
  /** What each of the helpful mays is taken for, and what so must follow it. */
  helped: ReadonlyMap<May, readonly (Must | May)[]>;
}

const STAGE_LAST = 3;

export class Search {
  readonly #problem: Problem;
  readonly #exact: Exact | undefined;
  readonly #board: Board;
  readonly #frames: Frame[] = [];
  /** Places that lead nowhere, and why. */
  readonly #visited = new Map<number, Conflict>();
  #deadEnd: DeadEnd | undefined;

  /** `exact` with what is known of revisions, for an exact history. */
  constructor(problem: Problem, exact: Exact | undefined) {
    this.#problem = problem;
    this.#exact = exact;
    this.#board = new Board(problem, exact);
  }

  /** Requests that were run, to see what a search costs. */
  get attempts(): number {
    return this.#board.attempts;
  }

  /** Searches until it knows, or has run `attemptsMax` requests. */
  run(attemptsMax: number): Found {
    const board = this.#board;
    const stale = board.staleAtFirst();
    if (stale !== undefined) {
      return { kind: "none", deadEnd: { done: [], left: [stale], revision: 1 } };
    }
    if (board.isComplete) return this.#order();
    this.#enter(board.place);
    while (this.#frames.length > 0) {
      if (board.attempts > attemptsMax) {
        return { kind: "gave-up", deadEnd: this.#deadEnd ?? this.#lookAround() };
      }
      const frame = this.#frames.at(-1) as Frame;
      if (!this.#advance(frame)) {
        this.#retreat();
        continue;
      }
      if (board.isComplete) return this.#order();
      const { place } = board;
      const known = this.#visited.get(place);
      if (known === undefined) this.#enter(place);
      else this.#jump(known);
    }
    assert(this.#deadEnd !== undefined, "a search that fails has come to a dead end");
    return { kind: "none", deadEnd: this.#deadEnd };
  }

  #enter(place: number): void {
    const { revision } = this.#board.store;
    const before = this.#frames.at(-1);
    const taken = before?.taken?.request;
    const only = taken === undefined || isMust(taken) ? undefined : before?.helped.get(taken);
    this.#frames.push({
      place,
      revision,
      moves: only?.slice() ?? this.#board.enabled().filter(({ writes }) => writes === "no"),
      at: 0,
      stage: only === undefined ? 0 : STAGE_LAST,
      taken: undefined,
      conflict: new Map(),
      hasFloating: false,
      helped: new Map(),
    });
  }

  /** Takes the next move that fits; false if there is none. */
  #advance(frame: Frame): boolean {
    for (;;) {
      while (frame.at === frame.moves.length && frame.stage < STAGE_LAST) this.#addMoves(frame);
      const move = frame.moves[frame.at++];
      if (move === undefined) return false;
      const { mark } = this.#board.store;
      const misfit = this.#board.misfit(move);
      if (misfit === undefined) {
        this.#take(frame, { request: move, mark });
        return true;
      }
      if (misfit.isFinal) frame.conflict.clear();
      this.#board.blame(frame.conflict, misfit.subjects);
      if (misfit.isFinal) return false;
      if (isMust(move) && move.revision === undefined) frame.hasFloating = true;
    }
  }

  /**
   * Stages: 0, what changes nothing, for with one of that taken nothing else needs to be tried;
   * 1, what gives a refusal its turn; 2, what writes; 3, what may have happened.
   */
  #addMoves(frame: Frame): void {
    frame.stage++;
    const enabled = this.#board.enabled();
    if (frame.stage === 1) {
      const refused = enabled.filter(({ seen }) => seen.kind === "refused");
      frame.moves.push(...this.#board.wantedMays(refused, frame.conflict));
    } else if (frame.stage === 2) {
      frame.moves.push(...enabled.filter(({ writes }) => writes !== "no"));
    } else {
      const makers = this.#makers(frame);
      const others = this.#board.wantedMays([...enabled, ...makers], frame.conflict);
      frame.moves.push(...makers, ...others.filter((may) => !makers.includes(may)));
    }
  }

  #makers(frame: Frame): May[] {
    if (!this.#problem.isOfOneKey) return this.#board.makers(frame.conflict);
    frame.helped = this.#board.helpfulMays();
    return [...frame.helped.keys()];
  }

  /** Leaves the last frame, which leads nowhere. */
  #retreat(): void {
    const frame = this.#frames.at(-1) as Frame;
    if (this.#frames.length - 1 > (this.#deadEnd?.done.length ?? -1)) {
      this.#deadEnd = this.#lookAround();
    }
    this.#frames.pop();
    this.#visited.set(frame.place, frame.conflict);
    this.#jump(frame.conflict);
  }

  /** Takes moves back to the last that has to do with the conflict. */
  #jump(conflict: Conflict): void {
    for (let frame = this.#frames.at(-1); frame !== undefined; frame = this.#frames.at(-1)) {
      const { taken } = frame;
      assert(taken !== undefined, "what lies behind was taken");
      frame.taken = undefined;
      this.#board.takeBack(taken.request, taken.mark);
      if (this.#matters(frame, taken, conflict)) {
        this.#learn(frame, taken, conflict);
        return;
      }
      this.#frames.pop();
      this.#visited.set(frame.place, conflict);
    }
  }

  /** Whether another move than the one that was taken can change what the conflict is about. */
  #matters(frame: Frame, { request, mark }: Step, conflict: Conflict): boolean {
    const exact = this.#exact;
    if (exact === undefined || frame.hasFloating) return true;
    if (isMust(request) && (request.writes === "yes" || frame.moves.length === 0)) return false;
    assert(this.#board.store.mark === mark, "the move was taken back");
    const touches = (one: Must | May): boolean => {
      return this.#board.subjects.writtenBy(one.request).some((subject) => {
        return (conflict.get(subject) ?? Number.POSITIVE_INFINITY) <= frame.revision;
      });
    };
    if (conflict.has(spent(request)) || frame.moves.some(touches)) return true;
    // Those too that were out of the question here: the reasons for that are then to blame.
    return [...(exact.suspects.of(frame.revision + 1) ?? [])].some(touches);
  }

  #learn(frame: Frame, { request }: Step, conflict: Conflict): void {
    for (const [subject, since] of conflict) {
      if (since <= frame.revision) add(frame.conflict, subject, since);
    }
    if (isMust(request)) return;
    this.#board.blame(frame.conflict, this.#board.subjects.of(request.request));
    frame.conflict.delete(spent(request));
  }

  #take(frame: Frame, step: Step): void {
    const { request, mark } = step;
    frame.taken = step;
    this.#board.take(request);
    const changesNothing = this.#board.store.mark === mark;
    if (isMust(request) && changesNothing) frame.moves = []; // no alternative is needed
  }

  #order(): Found {
    const steps = this.#frames.flatMap(({ taken }) => taken ?? []);
    return { kind: "order", steps, store: this.#board.store };
  }

  #lookAround(): DeadEnd {
    const { store } = this.#board;
    const done = this.#frames.flatMap(({ taken }) => taken?.request ?? []);
    const left = this.#board.enabled().map((must) => {
      const { mark } = store;
      const why = this.#board.misfit(must)?.why ?? "it fits";
      store.undo(mark);
      return { must, why };
    });
    return { done, left, revision: store.revision };
  }
}
