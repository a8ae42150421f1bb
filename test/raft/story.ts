/** Short ways to tell a story in a test: a cluster in a scenario's words. */
import { expect } from "bun:test";
import { Scenario } from "./scenario.ts";

/** Performs the commands and compares what they print, line by line without indentation. */
export function tell(commands: string, expected: string): void {
  const trimmed = (text: string): string =>
    text
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "")
      .join("\n");
  expect(trimmed(new Scenario().run(commands))).toBe(trimmed(expected));
}
