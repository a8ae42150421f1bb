/** Every requirement is named by a test (or by the audit, which watches all of them) or excused. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Requirement, RFC_7541, RFC_9113 } from "./requirements.ts";

const README = readFileSync(join(import.meta.dir, "README.md"), "utf8");

function idsIn(files: readonly string[]): Set<string> {
  const text = files.map((file) => readFileSync(join(import.meta.dir, file), "utf8")).join("\n");
  return new Set([...text.matchAll(/§(\d+(?:\.\d+)*-\d+)/g)].map(([, id]) => id as string));
}

/** The rows of the table under a heading. */
function excusedIn(heading: string): Set<string> {
  const [, section = ""] = README.split(`## ${heading}: not tested`);
  const [table = ""] = section.split("\n## ");
  return new Set([...table.matchAll(/^\| (\d[\d.]*-\d+)/gm)].map(([, id]) => id as string));
}

function filesOf(prefix: string): string[] {
  return readdirSync(import.meta.dir).filter((file) => file.startsWith(prefix));
}

const audit = readdirSync(join(import.meta.dir, "kit")).map((file) => join("kit", file));

test.each([
  ["RFC 9113", RFC_9113, [...filesOf("rfc9113-"), ...audit.filter((file) => /audit/.test(file))]],
  ["RFC 7541", RFC_7541, filesOf("rfc7541")],
] as const)("every MUST of %s is tested or excused", (name, all, files) => {
  const known = (all as readonly Requirement[]).map(([id]) => id);
  const tested = idsIn(files);
  const excused = excusedIn(name);
  expect(known.filter((id, at) => known.indexOf(id) !== at)).toEqual([]); // each once
  expect(known.filter((id) => !tested.has(id) && !excused.has(id))).toEqual([]);
  expect(known.filter((id) => tested.has(id) && excused.has(id))).toEqual([]);
  expect([...tested, ...excused].filter((id) => !known.includes(id))).toEqual([]);
});
