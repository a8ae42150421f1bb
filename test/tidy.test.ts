/**
 * What no compiler checks: the direction of imports between rooms, sizes, names, banned words.
 * Each rule is a pure function from files to complaints, and is itself tested on a bad example,
 * so that a rule that stopped working is noticed.
 */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";

const root = join(import.meta.dir, "..");

/** The rooms of src/ and what each may import besides itself (src/DESIGN.md says why). */
const MAY_IMPORT: Readonly<Record<string, string>> = {
  base: "",
  raft: "base",
  proto: "base",
  state: "base proto",
  watch: "base proto state",
  wire: "base",
  node: "base proto raft state watch",
  cluster: "base proto raft state node",
  coord: "base proto state watch node",
  storage: "base proto raft state node:ports",
  net: "base raft wire proto node:ports",
  observe: "base",
  rpc: "base proto wire node coord state watch",
  client: "base proto wire net",
  gateway: "base proto wire rpc",
  server: "base proto raft state watch wire node cluster storage net observe rpc client gateway",
  cli: "base proto server client storage",
  main: "cli base",
};

/** Rooms without clock, chance, sockets, files, timers or promises. */
const PURE_ROOMS = ["base", "raft", "proto", "state", "watch", "wire"] as const;

const FILE_LINES_MAX = 500;
const LINE_COLUMNS_MAX = 100;

/** Files longer than the rule, each with its one good reason. Functions: .biome.json, 70 lines. */
const LONG_FILES: Readonly<Record<string, string>> = {};

interface Source {
  readonly path: string;
  readonly text: string;
}

async function sources(glob: string): Promise<Source[]> {
  const found: Source[] = [];
  for await (const path of new Bun.Glob(glob).scan({ cwd: root })) {
    if (path.startsWith("src/proto/gen/")) continue;
    found.push({ path, text: await Bun.file(join(root, path)).text() });
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function roomOf(path: string): string {
  const [, second = ""] = path.split("/");
  return second.replace(/\.ts$/, "");
}

/** The files a source imports, relative to the root; packages are left out. */
function importsOf(source: Source): string[] {
  const imports: string[] = [];
  for (const match of source.text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)) {
    imports.push(join(source.path, "..", match[1] as string));
  }
  return imports;
}

function forbiddenImports(source: Source): string[] {
  const room = roomOf(source.path);
  const allowed = MAY_IMPORT[room]?.split(" ");
  if (allowed === undefined) return [`${source.path}: no room named ${room} in the table`];
  const complaints: string[] = [];
  for (const target of importsOf(source)) {
    const targetRoom = roomOf(target);
    if (targetRoom === room || allowed.includes(targetRoom)) continue;
    const isPorts = /\/ports\.ts$/.test(target) && allowed.includes(`${targetRoom}:ports`);
    if (!isPorts) complaints.push(`${source.path}: ${room} may not import ${target}`);
  }
  return complaints;
}

const IMPURE = new RegExp(
  [
    /\b(Date\.now|Math\.random|performance\.now)/,
    /\b(setTimeout|setInterval|setImmediate|queueMicrotask|Promise)\b|\b(async|await) /,
    /\bBun\.(nanoseconds|sleep|file|write|spawn|listen|connect)/,
    /from "(?:bun:sqlite|node:(?:fs|net|os|child_process|worker_threads|timers)[^"]*)"/,
  ]
    .map((part) => part.source)
    .join("|"),
);

function impurities(source: Source): string[] {
  if (!(PURE_ROOMS as readonly string[]).includes(roomOf(source.path))) return [];
  return codeLines(source)
    .filter(([, line]) => IMPURE.test(line))
    .map(([number, line]) => `${source.path}:${number}: not pure: ${line.trim()}`);
}

/** Numbered lines with comments and string contents blanked, so that prose is not code. */
function codeLines(source: Source): [number, string][] {
  let inBlock = false;
  return source.text.split("\n").map((line, index): [number, string] => {
    if (inBlock) {
      if (line.includes("*/")) inBlock = false;
      return [index + 1, ""];
    }
    if (/^\s*\/\*/.test(line)) {
      inBlock = !line.includes("*/");
      return [index + 1, ""];
    }
    const isImport = /^\s*(import|export) .*from "/.test(line);
    const bare = isImport ? line : line.replace(/"(?:[^"\\]|\\.)*"/g, '""');
    return [index + 1, bare.replace(/\/\/.*$/, "")];
  });
}

function longLines(source: Source): string[] {
  return source.text
    .split("\n")
    .map((line, index): [number, string] => [index + 1, line])
    .filter(
      ([, line]) => line.length > LINE_COLUMNS_MAX && !/https?:\/\/|^import|^} from/.test(line),
    )
    .map(([number]) => `${source.path}:${number}: longer than ${LINE_COLUMNS_MAX} columns`);
}

function longFile(source: Source): string[] {
  const lines = source.text.split("\n").length;
  if (lines <= FILE_LINES_MAX || LONG_FILES[source.path] !== undefined) return [];
  return [`${source.path}: ${lines} lines, at most ${FILE_LINES_MAX}`];
}

const BANNED: readonly (readonly [pattern: RegExp, instead: string, where?: "code"])[] = [
  [/\bFIXME\b|\bTODO\b|\bXXX\b|\bHACK\b/, "finish it or open an issue"],
  [/@ts-(ignore|nocheck|expect-error)/, "make the types true"],
  [/\bas any\b|: any\b|<any>/, "name the type", "code"],
  [/catch\s*(\([^)]*\))?\s*\{\s*\}/, "an error is handled, or says why not"],
  [/\b(test|it|describe)\.(only|todo)\b/, "no focused and no missing tests"],
  [/^\s*enum\b/, "a literal union or a const object"],
  [/console\.log\((?:"debug|`debug)/, "left over"],
];

function bannedWords(source: Source): string[] {
  const complaints: string[] = [];
  if (source.path === "test/tidy.test.ts") return complaints;
  const code = codeLines(source);
  for (const [index, line] of source.text.split("\n").entries()) {
    for (const [pattern, instead, where] of BANNED) {
      const text = where === "code" ? (code[index]?.[1] ?? "") : line;
      if (pattern.test(text)) complaints.push(`${source.path}:${index + 1}: ${instead}: ${line}`);
    }
  }
  return complaints;
}

function badName(path: string): string[] {
  const complaints: string[] = [];
  if (!/^[a-z0-9./-]+$/.test(path)) complaints.push(`${path}: kebab-case`);
  if (/(^|\/)(utils?|common|helpers?|misc)(\.|\/)/.test(path)) {
    complaints.push(`${path}: say what it holds`);
  }
  if (/\/index\.ts$/.test(path)) complaints.push(`${path}: no barrel files`);
  return complaints;
}

function importCycles(all: readonly Source[]): string[] {
  const graph = new Map(all.map((source) => [source.path, importsOf(source)]));
  const state = new Map<string, "open" | "done">();
  const cycles: string[] = [];
  const visit = (path: string, trail: string[]): void => {
    if (state.get(path) === "done") return;
    if (state.get(path) === "open") {
      cycles.push([...trail.slice(trail.indexOf(path)), path].join(" → "));
      return;
    }
    state.set(path, "open");
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    state.set(path, "done");
  };
  for (const path of graph.keys()) visit(path, []);
  return cycles;
}

const src = await sources("src/**/*.ts");
const everything = [...src, ...(await sources("{test,bench,scripts}/**/*.ts"))];

describe("tidy", () => {
  test("rooms import in the direction of the table", () => {
    expect(src.flatMap(forbiddenImports)).toEqual([]);
  });
  test("pure rooms are pure", () => expect(src.flatMap(impurities)).toEqual([]));
  test("no import cycles", () => expect(importCycles(src)).toEqual([]));
  test("lines", () => expect(everything.flatMap(longLines)).toEqual([]));
  test("file lengths", () => expect(src.flatMap(longFile)).toEqual([]));
  test("words", () => expect(everything.flatMap(bannedWords)).toEqual([]));
  test("names", () => expect(everything.flatMap((source) => badName(source.path))).toEqual([]));

  test("every room has its page", async () => {
    const rooms = new Set(
      src.filter((s) => s.path.split("/").length > 2).map((s) => roomOf(s.path)),
    );
    const missing: string[] = [];
    for (const room of rooms) {
      if (room === "base") continue; // explained by its files
      if (!(await Bun.file(join(root, "src", room, "DESIGN.md")).exists())) missing.push(room);
    }
    expect(missing).toEqual([]);
  });

  test("the top level is fixed", async () => {
    const allowed = new Set(
      (
        "package.json bunfig.toml tsconfig.json proto src test bench scripts README.md " +
        "bun.lock LICENSE CHANGELOG.md Dockerfile"
      ).split(" "),
    );
    const listed = Bun.spawnSync(
      ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
      {
        cwd: root,
      },
    );
    if (listed.exitCode !== 0) return; // a source archive without its history
    const tops = new Set(
      listed.stdout
        .toString()
        .trim()
        .split("\n")
        .map((p) => p.split("/")[0] ?? ""),
    );
    expect([...tops].filter((top) => !top.startsWith(".") && !allowed.has(top))).toEqual([]);
  });
});

describe("each rule can fail", () => {
  const bad = (path: string, text: string): Source => ({ path, text });
  test("imports", () => {
    expect(forbiddenImports(bad("src/raft/a.ts", 'import { x } from "../net/b.ts";'))).toHaveLength(
      1,
    );
    expect(
      forbiddenImports(bad("src/storage/a.ts", 'import { x } from "../node/node.ts";')),
    ).toHaveLength(1);
    expect(
      forbiddenImports(bad("src/storage/a.ts", 'import { x } from "../node/ports.ts";')),
    ).toEqual([]);
    expect(forbiddenImports(bad("src/nowhere/a.ts", ""))).toHaveLength(1);
  });
  test("purity", () => {
    expect(impurities(bad("src/raft/a.ts", "const now = Date.now();"))).toHaveLength(1);
    expect(impurities(bad("src/raft/a.ts", "// Date.now() is banned"))).toEqual([]);
    expect(impurities(bad("src/net/a.ts", "const now = Date.now();"))).toEqual([]);
  });
  test("cycles", () => {
    const a = bad("src/raft/a.ts", 'import "./b.ts";');
    const b = bad("src/raft/b.ts", 'import "./a.ts";');
    expect(importCycles([a, b])).toHaveLength(1);
  });
  test("lengths", () => {
    expect(longFile(bad("src/raft/a.ts", "\n".repeat(FILE_LINES_MAX + 1)))).toHaveLength(1);
    expect(longLines(bad("src/raft/a.ts", "x".repeat(LINE_COLUMNS_MAX + 1)))).toHaveLength(1);
  });
  test("words and names", () => {
    expect(bannedWords(bad("src/raft/a.ts", "// TODO: later"))).toHaveLength(1);
    expect(badName("src/raft/utils.ts")).toHaveLength(1);
    expect(badName("src/raft/index.ts")).toHaveLength(1);
  });
});
