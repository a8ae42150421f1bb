/**
 * Watch scenarios: scenarios/*.txt, each a list of "# title", commands, "----", transcript. Run
 * with REWRITE=1 to write the transcripts anew; commit only a difference that you can explain.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { runScenario } from "./scenario.ts";

const directory = join(import.meta.dir, "scenarios");
const rewrite = process.env.REWRITE === "1";

interface Scenario {
  readonly title: string;
  readonly commands: string;
  readonly expected: string;
}

function parse(text: string): Scenario[] {
  return text
    .split(/^(?=# )/m)
    .filter((part) => part.startsWith("# "))
    .map((part) => {
      const [head = "", expected = ""] = part.split(/^----\n?/m);
      const lines = head.split("\n");
      const titles = lines.filter((line) => line.startsWith("# "));
      const commands = lines.filter((line) => !line.startsWith("# ")).join("\n");
      return { title: titles.join("\n"), commands: commands.trim(), expected: expected.trim() };
    });
}

const files = [...new Bun.Glob("*.txt").scanSync(directory)].sort();

for (const file of files) {
  const path = join(directory, file);
  const scenarios = parse(await Bun.file(path).text());
  if (rewrite) {
    const parts = scenarios.map((one) =>
      `${one.title}\n${one.commands}\n----\n${runScenario(one.commands)}`.trimEnd(),
    );
    await Bun.write(path, `${parts.join("\n\n")}\n`);
    continue;
  }
  describe(file, () => {
    for (const scenario of scenarios) {
      test(scenario.title.replaceAll("# ", ""), () => {
        expect(runScenario(scenario.commands)).toBe(scenario.expected);
      });
    }
  });
}
