import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { fromCorpus, toCorpus } from "./corpus.ts";
import { fuzz } from "./fuzz.ts";

fuzz({
  name: "corpus-form",
  inputs: [
    fc.array(
      fc.oneof(
        fc.uint8Array(),
        fc.bigInt(),
        fc.double(),
        fc.string(),
        fc.record({ key: fc.uint8Array(), lease: fc.bigInt(), flag: fc.boolean() }),
      ),
    ),
  ],
  check: (input) => expect(fromCorpus(`[${toCorpus(input)}]`)).toEqual([input]),
  runs: 200,
});

test("every file of the corpus belongs to a target", () => {
  const sources = readdirSync(import.meta.dir).filter((file) => file.endsWith(".test.ts"));
  const names = sources.flatMap((file) => {
    const text = readFileSync(join(import.meta.dir, file), "utf8");
    return [...text.matchAll(/\bname: "([\w-]+)"/g)].map(([, name]) => name);
  });
  const corpus = readdirSync(join(import.meta.dir, "corpus"));
  expect(corpus.length).toBeGreaterThan(0);
  for (const file of corpus) {
    expect(names).toContain(file.replace(/\.json$/, ""));
  }
});
