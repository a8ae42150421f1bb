/** Runs the steps of a part with one client against one server, and writes down what was said. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../../support/processes.ts";
import { Names } from "./names.ts";
import type { Running, Spawn } from "./spawn.ts";
import type { Part, Said, Step } from "./step.ts";

export interface Side {
  readonly spawn: Spawn;
  readonly endpoint: string;
  /** A second server, for mirrors. */
  readonly other: string;
}

/** Each step's answer, in their order; ids and times are as names.ts writes them. */
export async function runPart(part: Part, side: Side): Promise<Said[]> {
  const directory = mkdtempSync(join(tmpdir(), "aether-session-"));
  const runner = new Runner(side, directory);
  try {
    const said: Said[] = [];
    for (const step of part.steps) said.push(await runner.run(step));
    return said;
  } finally {
    await runner.end();
    rmSync(directory, { recursive: true });
  }
}

class Runner {
  readonly #side: Side;
  readonly #names: Names;
  readonly #running = new Map<string, Running>();

  constructor(side: Side, directory: string) {
    this.#side = side;
    const { endpoint, other } = side;
    this.#names = new Names({ endpoint, other, dir: directory });
  }

  async run(step: Step): Promise<Said> {
    if (step.stop !== undefined) return this.#names.settle(await this.#stop(step, step.stop));
    if (step.wait !== undefined) {
      await this.#lines(this.#named(step.wait), step);
      return this.#names.settle({ stdout: "", stderr: "", status: 0 });
    }
    if (step.join !== undefined) return this.#names.settle(await this.#ended(step.join));
    if (step.start !== undefined) {
      const running = this.#spawn(step);
      this.#running.set(step.start, running);
      await this.#lines(running, step);
      return this.#names.settle({ stdout: "", stderr: "", status: 0 });
    }
    const { untilLines = 0, untilText = "" } = step;
    let said = await this.#spawn(step).ended;
    await until(`${step.words.join(" ")} prints what is waited for`, async () => {
      if (countLines(said.stdout) >= untilLines && said.stdout.includes(untilText)) return true;
      said = await this.#spawn(step).ended;
      return false;
    });
    return this.#names.settle(said);
  }

  /** Kills what is still running. */
  async end(): Promise<void> {
    for (const { kill, ended } of this.#running.values()) {
      kill("SIGKILL");
      await ended;
    }
  }

  async #stop(step: Step, name: string): Promise<Said> {
    const running = this.#named(name);
    await this.#lines(running, step);
    running.kill("SIGINT");
    return await this.#ended(name);
  }

  async #ended(name: string): Promise<Said> {
    const said = await this.#named(name).ended;
    this.#running.delete(name);
    return said;
  }

  #named(name: string): Running {
    const running = this.#running.get(name);
    if (running === undefined) throw new Error(`nothing runs as ${name}`);
    return running;
  }

  #lines({ stdout }: Running, step: Step): Promise<void> {
    const wanted = step.lines ?? 0;
    return until(`${step.start ?? step.stop ?? step.wait} prints ${wanted} lines`, () => {
      return countLines(stdout()) >= wanted;
    });
  }

  #spawn(step: Step): Running {
    const words = step.words.map((word) => this.#names.fill(word));
    const env = { ...ENVIRONMENT, ...this.#environment(step) };
    return this.#side.spawn(words, step.stdin ?? "", env);
  }

  #environment(step: Step): Record<string, string> {
    const inWords = step.words.some((word) => word.startsWith("--endpoints"));
    const own: Record<string, string> = inWords ? {} : { ETCDCTL_ENDPOINTS: this.#side.endpoint };
    for (const [name, value] of Object.entries(step.env ?? {})) own[name] = this.#names.fill(value);
    return own;
  }
}

/** The least there must be: what the machine sets is nobody's business here. */
const ENVIRONMENT = { PATH: process.env.PATH ?? "", HOME: process.env.HOME ?? "" };

function countLines(text: string): number {
  return text.split("\n").length - 1;
}
