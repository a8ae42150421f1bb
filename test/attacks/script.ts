/**
 * What every attack script is made of: it strikes until its time is up, and then tells what it
 * delivered and how the server ended it.
 *
 *   await runAttack(async (attack) => {
 *     attack.begin();
 *     while (!attack.over) { …; attack.count("requests"); }
 *   });
 *
 * Run by harness.ts as `bun <script> <port> <seconds> ...args`; by hand in the same way.
 */

/** Counts by name: what was sent, and how connections or requests ended. */
export interface Evidence {
  readonly sent: Readonly<Record<string, number>>;
  readonly ended: Readonly<Record<string, number>>;
}

export class Attack implements Evidence {
  readonly port: number;
  readonly args: readonly string[];
  readonly sent: Record<string, number> = {};
  readonly ended: Record<string, number> = {};
  readonly #seconds: number;
  #endMs = Number.POSITIVE_INFINITY;

  constructor(port: number, seconds: number, args: readonly string[]) {
    this.port = port;
    this.#seconds = seconds;
    this.args = args;
  }

  /** Everything is in place: from now on the victims are measured. */
  begin(): void {
    this.#endMs = performance.now() + this.#seconds * 1000;
    console.log("begun");
    // Whoever goes on, to see how it ends, is not measured any more.
    setTimeout(() => console.log("over"), this.#seconds * 1000);
  }

  get over(): boolean {
    return performance.now() >= this.#endMs;
  }

  /** It is over for so long. */
  overFor(ms: number): boolean {
    return performance.now() >= this.#endMs + ms;
  }

  /** Milliseconds until it is over. */
  get leftMs(): number {
    return Math.max(0, this.#endMs - performance.now());
  }

  count(name: string, by = 1): void {
    this.sent[name] = (this.sent[name] ?? 0) + by;
  }

  end(how: string): void {
    this.ended[how] = (this.ended[how] ?? 0) + 1;
  }
}

/** Plays an attack with the process's arguments, reports and exits. */
export async function runAttack(play: (attack: Attack) => Promise<void>): Promise<never> {
  const [port = "", seconds = "", ...args] = process.argv.slice(2);
  const attack = new Attack(Number(port), Number(seconds), args);
  await play(attack);
  const { sent, ended } = attack;
  await Bun.write(Bun.stdout, `\n${JSON.stringify({ sent, ended })}`);
  process.exit(0);
}
