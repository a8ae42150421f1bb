/** What is to be said about settings once there is a log to say it in. */
import type { LogFields } from "../../base/ports.ts";

export interface Notice {
  readonly level: "info" | "warn";
  readonly message: string;
  readonly fields: LogFields;
}

/** One notice of each kind names all that it is about. */
export class Notices {
  readonly #inert: [where: string, why: string][] = [];
  readonly #unknown: string[] = [];
  readonly #used: string[] = [];
  readonly #others: Notice[] = [];

  /** It was set, and changes nothing. */
  inert(where: string, why: string): void {
    this.#inert.push([where, why]);
  }

  unknownVariable(name: string): void {
    this.#unknown.push(name);
  }

  usedVariable(name: string): void {
    this.#used.push(name);
  }

  /** The file has the word: `ignored` are flags that were given all the same. */
  fromFile(file: string, ignored: readonly string[]): void {
    const message = "settings are read from the file; etcd's flags and variables are ignored";
    const fields = ignored.length === 0 ? { file } : { file, ignored: ignored.join(", ") };
    this.#others.push({ level: ignored.length === 0 ? "info" : "warn", message, fields });
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#others.push({ level: "warn", message, fields });
  }

  all(): readonly Notice[] {
    const notices = [...this.#others];
    if (this.#used.length > 0) {
      const variables = this.#used.join(", ");
      notices.push({ level: "info", message: "settings from variables", fields: { variables } });
    }
    if (this.#unknown.length > 0) {
      const variables = this.#unknown.join(", ");
      const message = "unrecognized environment variable";
      notices.push({ level: "warn", message, fields: { variables } });
    }
    if (this.#inert.length > 0) {
      const message = "settings of etcd that change nothing here";
      notices.push({ level: "warn", message, fields: Object.fromEntries(this.#inert) });
    }
    return notices;
  }
}
