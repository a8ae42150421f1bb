/** Lets one loop sleep until something has happened; what happens meanwhile is not missed. */
export class Wakeup {
  #notified = false;
  #resolve: (() => void) | undefined;

  /** Something happened. */
  notify(): void {
    this.#notified = true;
    this.#resolve?.();
    this.#resolve = undefined;
  }

  /** Resolves when something has happened since the last wait(). */
  async wait(): Promise<void> {
    if (!this.#notified) {
      await new Promise<void>((resolve) => {
        this.#resolve = resolve;
      });
    }
    this.#notified = false;
  }
}
