/** Callers that wait until so much is applied here. */
interface Waiter {
  readonly index: number;
  readonly done: () => void;
}

export class AppliedWaiters {
  #ready: (() => void)[] = [];
  #indexes: Waiter[] = [];

  whenReady(done: () => void): void {
    this.#ready.push(done);
  }

  whenApplied(index: number, done: () => void): void {
    this.#indexes.push({ index, done });
  }

  /** Everything up to `index` is applied; `isReady` if that is of the current leader's term. */
  applied(index: number, isReady: boolean): void {
    if (this.#indexes.length > 0) {
      const due = this.#indexes.filter((waiter) => waiter.index <= index);
      this.#indexes = this.#indexes.filter((waiter) => waiter.index > index);
      for (const { done } of due) done();
    }
    if (isReady && this.#ready.length > 0) for (const done of this.#ready.splice(0)) done();
  }
}
