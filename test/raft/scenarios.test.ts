/**
 * The stories of scenarios/*.txt (see scenario.ts for their language). REWRITE=1 bun test writes
 * what happens into the files as what is expected; commit only a difference you can explain.
 */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Scenario } from "./scenario.ts";

const DIRECTORY = join(import.meta.dir, "scenarios");
const REWRITE = process.env["REWRITE"] === "1";

interface Block {
  /** Comments and blank lines before the commands, kept as they are. */
  readonly commands: string;
  readonly expected: string;
}

/** A block ends with the first blank line after its `----`. */
function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  let rest = text;
  while (rest.includes("\n----\n")) {
    const cut = rest.indexOf("\n----\n");
    const commands = rest.slice(0, cut).replace(/^\n+/, "");
    const after = rest.slice(cut + "\n----\n".length);
    const end = after.startsWith("\n") ? 0 : after.indexOf("\n\n");
    const expected = end === -1 ? after.trimEnd() : after.slice(0, end);
    blocks.push({ commands, expected });
    rest = end === -1 ? "" : after.slice(end === 0 ? 1 : end + 2);
  }
  return blocks;
}

function play(file: string): void {
  const path = join(DIRECTORY, file);
  const scenario = new Scenario();
  const played = blocksOf(readFileSync(path, "utf8")).map(({ commands, expected }) => {
    return { commands, expected, printed: scenario.run(commands) };
  });
  if (REWRITE) {
    const texts = played.map(({ commands, printed }) => `${commands}\n----\n${printed}\n`);
    writeFileSync(path, texts.join("\n"));
    return;
  }
  for (const { commands, expected, printed } of played) {
    if (printed !== expected)
      expect(`${commands}\n----\n${printed}`).toBe(`${commands}\n----\n${expected}`);
  }
  expect(played.length).toBeGreaterThan(0);
}

describe("scenarios", () => {
  for (const file of readdirSync(DIRECTORY).sort()) {
    test(file, () => play(file));
  }
});
