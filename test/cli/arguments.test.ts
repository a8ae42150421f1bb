import { describe, expect, test } from "bun:test";
import type { ArgsDef } from "citty";
import { parseArguments, takesNext } from "../../src/cli/arguments.ts";
import { UsageError } from "../../src/cli/exit.ts";

const DEFINITIONS: ArgsDef = {
  key: { type: "positional" },
  limit: { type: "string", default: "0" },
  "write-out": { type: "string", alias: "w", default: "simple" },
  prefix: { type: "boolean" },
  interactive: { type: "boolean", alias: "i" },
  "no-password": { type: "boolean" },
  level: { type: "enum", options: ["info", "warn"] },
  safe: { type: "boolean", default: true },
};

function parse(line: string) {
  return parseArguments(line.split(" "), DEFINITIONS);
}

describe("a command line", () => {
  test("flags stand anywhere, joined or apart", () => {
    const args = parse("--prefix a --limit 5 b --write-out=json");
    expect(args.positionals).toEqual(["a", "b"]);
    expect(args.on("prefix")).toBe(true);
    expect(args.integer("limit")).toBe(5);
    expect(args.text("write-out")).toBe("json");
    expect(args.beforeDashes).toBeUndefined();
  });

  test("short forms", () => {
    for (const line of ["-w json", "-wjson", "-w=json", "-iw json", "-iwjson"]) {
      expect([line, parse(line).text("write-out")]).toEqual([line, "json"]);
    }
    expect(parse("-iw json").on("interactive")).toBe(true);
    expect(parse("-i=false").on("interactive")).toBe(false);
  });

  test("booleans", () => {
    expect(parse("--prefix=0").on("prefix")).toBe(false);
    expect(parse("--prefix=TRUE").on("prefix")).toBe(true);
    expect(parse("--no-safe").on("safe")).toBe(false);
    expect(parse("--no-password").on("no-password")).toBe(true);
    expect(parse("a").on("safe")).toBe(true);
  });

  test("what follows -- is no flag", () => {
    const args = parse("a -- --prefix -w");
    expect(args.positionals).toEqual(["a", "--prefix", "-w"]);
    expect(args.beforeDashes).toBe(1);
    expect(args.on("prefix")).toBe(false);
    expect(parse("--").beforeDashes).toBe(0);
    expect(parse("-").positionals).toEqual(["-"]);
  });

  test("the last value counts, all are kept", () => {
    const args = parse("--limit=1 --limit=2");
    expect(args.integer("limit")).toBe(2);
    expect(args.given("limit")).toEqual(["1", "2"]);
    expect(parse("a").given("limit")).toEqual([]);
  });

  test("a value may look like a flag", () => {
    expect(parse("--limit --prefix").text("limit")).toBe("--prefix");
    expect(parse("--write-out=a=b").text("write-out")).toBe("a=b");
  });

  test("other values for what is not given are checked too", () => {
    const otherwise = new Map([
      ["limit", "7"],
      ["write-out", "json"],
    ]);
    const args = parseArguments(["--write-out=fields"], DEFINITIONS, otherwise);
    expect([args.integer("limit"), args.text("write-out")]).toEqual([7, "fields"]);
    expect(() => parseArguments([], DEFINITIONS, new Map([["prefix", "perhaps"]]))).toThrow(
      UsageError,
    );
  });

  const wrong: readonly (readonly [line: string, message: string])[] = [
    ["--limt=1", "unknown flag: --limt; did you mean --limit?"],
    ["--entirely", "unknown flag: --entirely"],
    ["--key=x", "unknown flag: --key"],
    ["--no-limit", "unknown flag: --no-limit"],
    ["--constructor", "unknown flag: --constructor"],
    ["-x", "unknown shorthand flag: 'x' in -x"],
    ["-ix", "unknown shorthand flag: 'x' in -ix"],
    ["--limit", "flag needs an argument: --limit"],
    ["-w", "flag needs an argument: 'w' in -w"],
    [
      "--prefix=yes",
      'invalid argument "yes" for "--prefix" flag: strconv.ParseBool: parsing "yes": ' +
        "invalid syntax",
    ],
    ["--level=loud", 'invalid argument "loud" for "--level" flag: expected info, warn'],
  ];
  for (const [line, message] of wrong) {
    test(`${line} is refused`, () => expect(() => parse(line)).toThrow(new UsageError(message)));
  }

  test("a number that is none", () => {
    const message =
      'invalid argument "x" for "--limit" flag: strconv.ParseInt: parsing "x": invalid syntax';
    expect(() => parse("--limit=x").integer("limit")).toThrow(new UsageError(message));
    expect(() => parse("--limit=9007199254740992").integer("limit")).toThrow(/out of range/);
    expect(parse("--limit=-3").integer("limit")).toBe(-3);
    expect(parse("--limit=0x10").integer("limit")).toBe(16);
  });

  test("which flags take the next word", () => {
    const taking = ["--limit", "-w", "-iw", "--limit=1", "-wjson", "--prefix", "-i", "--unknown"];
    expect(taking.map((word) => takesNext(word, DEFINITIONS))).toEqual([
      true,
      true,
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
  });
});
