import { oneLine } from "../../base/one-line.ts";

/**
 * What is wrong with a configuration: one line that says where, what was given and what was
 * expected. The program prints it and exits with status 2 before touching anything.
 */
export class ConfigError extends Error {
  override readonly name = "ConfigError";

  constructor(message: string, options?: ErrorOptions) {
    super(oneLine(message), options);
  }
}

/** `where` names the source, e.g. `aether.toml:3: lease.max_ttl`. */
export function mismatch(where: string, expected: string, given: unknown): ConfigError {
  const shown = typeof given === "string" ? JSON.stringify(given) : describe(given);
  return new ConfigError(`${where}: expected ${expected}, got ${shown}`);
}

function describe(given: unknown): string {
  if (Array.isArray(given)) return "an array";
  if (given instanceof Date) return "a date";
  if (typeof given === "object" && given !== null) return "a table";
  return String(given);
}
