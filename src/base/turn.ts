/**
 * Work for the end of an event-loop turn. Many sockets become ready in one turn; what their
 * requests share (one proposal batch, one read round, one write a socket) is done once, after the
 * last of them was read. It stands in base/ because node/ and rpc/ put work in and net/ runs it,
 * and none of them may import the others. How a turn ends is handed in (`setImmediate` in the
 * server, a step of the simulator in a simulation), so this file stays free of timers.
 *
 *   sockets read ─▶ PROPOSE ─▶ READ ─▶ FLUSH ─▶ next turn
 *
 * Invariants
 *   T1  phases run in order, and within a phase tasks run in the order in which they came
 *   T2  a task put into a later phase than the running one runs in this same turn
 *   T3  one put into the running phase or an earlier one waits for the next turn: no task can
 *       keep the loop from reading sockets
 */

/** The phases of the end of a turn, in order. */
export const TurnPhase = {
  /** Hand the proposals of the turn to Raft as one batch. */
  PROPOSE: 0,
  /** Ask for one read index on behalf of all reads of the turn; answer those that may be. */
  READ: 1,
  /** Write each socket once. */
  FLUSH: 2,
} as const;
export type TurnPhase = (typeof TurnPhase)[keyof typeof TurnPhase];

/** The queues of one thread; one object for the whole process. */
export class Turn {
  readonly #arm: (run: () => void) => void;
  readonly #run = (): void => this.#runAll();
  readonly #queues: [Task[], Task[], Task[]] = [[], [], []];
  #spare: Task[] = [];
  #armed = false;

  /** `arm` must call what it is given once, after the sockets that are ready now were read. */
  constructor(arm: (run: () => void) => void) {
    this.#arm = arm;
  }

  /**
   * Runs `task` once at the end of this turn. The same function may be put in twice and then runs
   * twice: the caller keeps a flag. Free of allocation when `task` is made once and kept. A task
   * that throws does not take the others of the turn with it: they run in the next one.
   */
  after(phase: TurnPhase, task: Task): void {
    this.#queues[phase].push(task);
    if (this.#armed) return;
    this.#armed = true;
    this.#arm(this.#run);
  }

  #runAll(): void {
    let ended = false;
    try {
      this.#runPhase(TurnPhase.PROPOSE);
      this.#runPhase(TurnPhase.READ);
      this.#runPhase(TurnPhase.FLUSH);
      ended = true;
    } finally {
      this.#armed = false;
      if (!ended || this.#waiting()) {
        this.#armed = true;
        this.#arm(this.#run);
      }
    }
  }

  /** Runs the tasks that wait now; those they add to this phase land in the other array (T3). */
  #runPhase(phase: TurnPhase): void {
    const tasks = this.#queues[phase];
    if (tasks.length === 0) return;
    this.#queues[phase] = this.#spare;
    let done = 0;
    try {
      while (done < tasks.length) (tasks[done++] as Task)();
    } finally {
      if (done < tasks.length) this.#queues[phase].unshift(...tasks.slice(done));
      tasks.length = 0;
      this.#spare = tasks;
    }
  }

  #waiting(): boolean {
    const [propose, read, flush] = this.#queues;
    return propose.length + read.length + flush.length > 0;
  }
}

type Task = () => void;
