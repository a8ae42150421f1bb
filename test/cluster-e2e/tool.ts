/** The command lines that people use on a cluster: Debian's etcdctl 3.4, and ours. */
import { AETHER } from "../support/processes.ts";
import { type Ended, runToEnd } from "../support/run.ts";

export const ETCDCTL = "/usr/bin/etcdctl";

export type ToolName = "etcdctl" | "aether ctl";

const COMMANDS: Readonly<Record<ToolName, readonly string[]>> = {
  etcdctl: [ETCDCTL],
  "aether ctl": [AETHER, "ctl"],
};

export class Tool {
  readonly #name: ToolName;
  readonly #endpoints: readonly string[];

  constructor(name: ToolName, endpoints: readonly string[]) {
    this.#name = name;
    this.#endpoints = endpoints;
  }

  /** The same tool with other endpoints. */
  at(...endpoints: string[]): Tool {
    return new Tool(this.#name, endpoints);
  }

  /** Runs a command to its end, however it ends. */
  async try(...words: string[]): Promise<Ended> {
    const env = { ETCDCTL_API: "3", ETCDCTL_ENDPOINTS: this.#endpoints.join(",") };
    return await runToEnd([...COMMANDS[this.#name], ...words], { env });
  }

  /** What a command writes; throws when it fails. */
  async run(...words: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.try(...words);
    if (status === 0) return stdout;
    throw new Error(`${this.#name} ${words.join(" ")} ended with ${status}: ${stderr}${stdout}`);
  }

  /** What a command writes as JSON. */
  async json<T>(...words: string[]): Promise<T> {
    // Ids are larger than a number can hold: as text they are exact.
    const text = (await this.run(...words, "-w", "json")).replace(/":\s*(\d{16,})/g, '":"$1"');
    return JSON.parse(text) as T;
  }
}
