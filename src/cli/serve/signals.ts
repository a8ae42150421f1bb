/**
 * SIGTERM and SIGINT. The server is stopped, once; a second signal ends the process. How it ends
 * then is what its caller looks at: a node of ours with 0, one that is called etcd as etcd does, by
 * the same signal, so that whoever waits sees "killed by SIGTERM" (as process 1 of a container,
 * which no signal kills, with 0).
 */
import type { Log } from "../../base/ports.ts";
import type { Role } from "../../server/config/sources.ts";
import { EXIT } from "../exit.ts";

/** Far more than draining takes; a stop that hangs must not hold up a machine's shutdown. */
const STOP_MS_MAX = 5_000;

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
type Signal = (typeof SIGNALS)[number];

const STATUS: Readonly<Record<Signal, number>> = { SIGINT: 130, SIGTERM: 143 };
/** As Go calls them. */
const NAMES: Readonly<Record<Signal, string>> = { SIGINT: "interrupt", SIGTERM: "terminated" };

interface Stoppable {
  stop(): Promise<void>;
}

export class Signals {
  readonly #role: Role;
  readonly #log: Log;
  #server: Stoppable | undefined;
  #received: Signal | undefined;

  /** Listens from now on. */
  constructor(role: Role, log: Log) {
    this.#role = role;
    this.#log = log;
    for (const signal of SIGNALS) process.on(signal, () => this.#onSignal(signal));
  }

  /** From now on a signal stops `server` instead of ending the process. */
  serving(server: Stoppable): void {
    this.#server = server;
  }

  /** Ends the process once the server has; `status` is for a server that ended by itself. */
  async end(status: number): Promise<never> {
    await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
    if (this.#received !== undefined && status === EXIT.OK) this.#die(this.#received, EXIT.OK);
    process.exit(status);
  }

  #onSignal(signal: Signal): void {
    if (this.#received !== undefined) this.#die(signal, STATUS[signal]);
    this.#received = signal;
    // Nobody was promised anything before the server is up, and the data survives any end.
    if (this.#server === undefined) this.#die(signal, EXIT.OK);
    this.#log.info("received signal; shutting down", { signal: NAMES[signal] });
    setTimeout(() => {
      this.#log.error("stopping takes too long, ending", { ms: STOP_MS_MAX });
      process.exit(EXIT.FAILED);
    }, STOP_MS_MAX).unref();
    void this.#server.stop(); // `ended` ends the process; a rejection is uncaught and crashes it
  }

  #die(signal: Signal, status: number): never {
    if (this.#role !== "etcd" || process.pid === 1) process.exit(status);
    process.removeAllListeners(signal); // the signal's own effect is back
    process.kill(process.pid, signal);
    process.exit(status); // blocked signals alone come here
  }
}

/** What was written to a pipe may still be on its way. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write("", () => resolve()));
}
