/** Words of lines, comparisons, requests, watch lines, ranges of keys, names of commands. */
import { describe, expect, test } from "bun:test";
import { keyFromText } from "../../src/base/bytes.ts";
import { parseArguments } from "../../src/cli/arguments.ts";
import { COMMANDS } from "../../src/cli/ctl/command-table.ts";
import { parseRequest } from "../../src/cli/ctl/commands/txn.ts";
import { parseCompare } from "../../src/cli/ctl/compare-syntax.ts";
import { findCommand } from "../../src/cli/ctl/find-command.ts";
import { GLOBAL_ARGS } from "../../src/cli/ctl/globals.ts";
import { keyRange, prefixEnd } from "../../src/cli/ctl/key-range.ts";
import {
  planWatch,
  planWatchLine,
  WATCH_ARGS,
  watchVariables,
} from "../../src/cli/ctl/watch-plan.ts";
import { splitWords, trimmed } from "../../src/cli/ctl/words.ts";
import { EXIT, ExitError } from "../../src/cli/exit.ts";
import { Compare, RequestOp } from "../../src/proto/gen/etcdserverpb.ts";

function statusOf(action: () => unknown): number | string {
  try {
    action();
  } catch (error) {
    if (error instanceof ExitError) return error.status;
    throw error;
  }
  return "none";
}

describe("words of a line", () => {
  const table: readonly [line: string, words: string[]][] = [
    ["", []],
    ["  \t ", []],
    ["put a b", ["put", "a", "b"]],
    ['put "a b" \'c "d"\'', ["put", "a b", 'c "d"']],
    ['"\\x61\\"" a\\"b', ['a"', 'a\\"b']],
    ["it's --flag='x y'", ["it's", "--flag='x", "y'"]],
    ['"ab"cd', ["ab", "cd"]],
    ["''", [""]],
    [keyFromText("à à"), [keyFromText("à"), keyFromText("à")]],
  ];
  for (const [line, words] of table) {
    test(JSON.stringify(line), () => expect(splitWords(line)).toEqual(words));
  }

  test("an open quote is refused", () => {
    for (const line of ['put "a b', "put 'a b"]) {
      expect(statusOf(() => splitWords(line))).toBe(EXIT.INVALID_INPUT);
    }
  });

  test("a letter whose last byte is \\xa0 is not cut", () => {
    expect(trimmed(keyFromText(" à "))).toBe(keyFromText("à"));
  });
});

describe("comparisons", () => {
  const table: readonly [line: string, compare: Partial<Compare>][] = [
    ['mod("k") > "0"', { key: "k", target: 2, result: 1, modRevision: 0 }],
    ['m("k") = "7"', { key: "k", target: 2, result: 0, modRevision: 7 }],
    ['create("k") != "1"', { key: "k", target: 1, result: 3, createRevision: 1 }],
    ['c("k") < "1"', { key: "k", target: 1, result: 2, createRevision: 1 }],
    ['version("k") = "1"', { key: "k", target: 0, result: 0, version: 1 }],
    ['ver("k")  =   "-1"', { key: "k", target: 0, result: 0, version: -1 }],
    ['value("a(b") = "x \\"y\\""', { key: "a(b", target: 3, value: Buffer.from('x "y"') }],
    ['val(`k`) = ""', { key: "k", target: 3, value: Buffer.from("") }],
    ['lease("k") = "694d81417acd4754"', { key: "k", target: 4, lease: 0x694d81417acd4754n }],
  ];
  for (const [line, compare] of table) {
    test(line, () => expect(parseCompare(line)).toEqual(Compare.create(compare)));
  }

  const wrong = [
    "",
    "mod",
    'mod("k"',
    'mod(k) > "0"',
    'mod("k") > 0',
    'mod("k")>"0"',
    'mod("k") >> "0"',
    'mod("k") > "0" trailing',
    'mod ("k") > "0"',
    'age("k") > "0"',
    'mod("k") > "x"',
    'lease("k") > "zz"',
    'mod("k") > "9223372036854775807"',
  ];
  for (const line of wrong) {
    test(`${line} is refused`, () => {
      expect(statusOf(() => parseCompare(line))).toBe(EXIT.INVALID_INPUT);
    });
  }
});

describe("requests of a transaction", () => {
  test("each kind", () => {
    expect(parseRequest('get --prefix "a b" --limit=2').requestRange).toMatchObject({
      key: "a b",
      rangeEnd: "a c",
      limit: 2,
    });
    expect(parseRequest("put k v --lease=1f --prev-kv").requestPut).toMatchObject({
      key: "k",
      value: Buffer.from("v"),
      lease: 31n,
      prevKv: true,
    });
    expect(parseRequest("del a c")).toEqual(
      RequestOp.create({ requestDeleteRange: { key: "a", rangeEnd: "c", prevKv: false } }),
    );
  });

  test("bytes stay as they are", () => {
    const { requestPut } = parseRequest(keyFromText('put "\\xff" à'));
    expect(requestPut?.key).toBe("\xff");
    expect(requestPut?.value).toEqual(Buffer.from("à"));
  });

  const wrong: readonly [line: string, status: number][] = [
    ["put", EXIT.INVALID_INPUT],
    ["foo bar", EXIT.INVALID_INPUT],
    ["get a -w json", EXIT.INVALID_INPUT],
    ["get a --limit=x", EXIT.INVALID_INPUT],
    ["put a", EXIT.BAD_ARGUMENTS],
    ["get a --consistency=z", EXIT.UNSUPPORTED],
  ];
  for (const [line, status] of wrong) {
    test(`${line} ends with ${status}`, () => {
      expect(statusOf(() => parseRequest(line))).toBe(status);
    });
  }
});

describe("what to watch", () => {
  const NONE = { key: "", rangeEnd: "" };
  const shell = (line: string, variables = NONE) =>
    planWatch(parseArguments(line.split(" ").filter(Boolean), WATCH_ARGS), variables);

  test("key, range, prefix, program", () => {
    expect(shell("a --rev=5 --prev-kv")).toMatchObject({
      key: "a",
      rangeEnd: "",
      startRevision: 5,
      prevKv: true,
      program: [],
    });
    expect(shell("a c")).toMatchObject({ key: "a", rangeEnd: "c" });
    expect(shell("--prefix a -- echo -n --prefix")).toMatchObject({
      key: "a",
      rangeEnd: "b",
      program: ["echo", "-n", "--prefix"],
    });
    expect(planWatchLine(["ä", "--progress-notify"].map(keyFromText), NONE)).toMatchObject({
      key: keyFromText("ä"),
      progressNotify: true,
    });
  });

  test("the environment's key", () => {
    const variables = watchVariables({ ETCDCTL_WATCH_KEY: "a", AETHERCTL_WATCH_RANGE_END: "c" });
    expect(shell("", variables)).toMatchObject({ key: "a", rangeEnd: "c" });
    expect(shell("-- echo x", variables)).toMatchObject({ key: "a", program: ["echo", "x"] });
    expect(statusOf(() => shell("b", variables))).toBe(EXIT.BAD_ARGUMENTS);
    expect(statusOf(() => shell("b -- echo", variables))).toBe(EXIT.BAD_ARGUMENTS);
    const onlyEnd = { ETCDCTL_WATCH_RANGE_END: "c" };
    expect(statusOf(() => watchVariables(onlyEnd))).toBe(EXIT.BAD_ARGUMENTS);
  });

  test("what is refused", () => {
    for (const line of ["", "--rev=1", "a --", "-- echo", "a b --prefix", "a b c"]) {
      expect([line, statusOf(() => shell(line))]).toEqual([line, EXIT.BAD_ARGUMENTS]);
    }
    expect(statusOf(() => shell("a --rv=1"))).toBe(EXIT.USAGE);
  });
});

describe("ranges of keys", () => {
  test("the end of a prefix", () => {
    expect(prefixEnd("a")).toBe("b");
    expect(prefixEnd("a\xff")).toBe("b");
    expect(prefixEnd("a\xfe\xff\xff")).toBe("a\xff");
    expect(prefixEnd("\xff\xff")).toBe("\0");
    expect(prefixEnd("")).toBe("\0");
  });

  test("flags", () => {
    const range = (keys: string[], prefix: boolean, fromKey: boolean) =>
      keyRange(keys, { prefix, fromKey });
    expect(range(["a"], false, false)).toEqual({ key: "a", rangeEnd: "" });
    expect(range(["a", "c"], false, false)).toEqual({ key: "a", rangeEnd: "c" });
    expect(range(["a"], true, false)).toEqual({ key: "a", rangeEnd: "b" });
    expect(range([""], true, false)).toEqual({ key: "\0", rangeEnd: "\0" });
    expect(range(["a"], false, true)).toEqual({ key: "a", rangeEnd: "\0" });
    expect(range([""], false, true)).toEqual({ key: "\0", rangeEnd: "\0" });
    expect(statusOf(() => range(["a"], true, true))).toBe(EXIT.BAD_ARGUMENTS);
    expect(statusOf(() => range(["a", "b"], true, false))).toBe(EXIT.BAD_ARGUMENTS);
    expect(statusOf(() => range(["a", "b"], false, true))).toBe(EXIT.BAD_ARGUMENTS);
  });
});

describe("names of commands", () => {
  const find = (line: string) => {
    const found = findCommand(line.split(" ").filter(Boolean), COMMANDS, GLOBAL_ARGS, "aether ctl");
    return [found.kind === "command" ? found.command.name : `${found.name}…`, found.rest.join(" ")];
  };

  test("whole, shortened, with flags around", () => {
    expect(find("get a")).toEqual(["get", "a"]);
    expect(find("compact 5")).toEqual(["compaction", "5"]);
    expect(find("member l")).toEqual(["member list", ""]);
    expect(find("-w json lease --hex grant 5")).toEqual(["lease grant", "-w json --hex 5"]);
    expect(find("--endpoints get put a")).toEqual(["put", "--endpoints get a"]);
    expect(find("--endpoints=get put a --prefix")).toEqual(["put", "--endpoints=get a --prefix"]);
    expect(find("put -- get")).toEqual(["put", "-- get"]);
    expect(find("lease --help")).toEqual(["lease…", "--help"]);
    expect(find("")).toEqual(["…", ""]);
  });

  test("unknown or ambiguous", () => {
    expect(() => find("gte")).toThrow(
      'unknown command "gte" for "aether ctl"\n\nDid you mean this?\n\tget\n',
    );
    expect(() => find("lease gran x")).not.toThrow();
    expect(() => find("lease re x")).not.toThrow();
    expect(() => find("lease x")).toThrow('unknown command "x" for "aether ctl lease"');
    expect(() => find("en health")).not.toThrow();
    expect(() => find("com 5")).toThrow(
      'unknown command "com" for "aether ctl"\n\nDid you mean this?\n\tcompaction\n\tcompletion\n',
    );
  });

  test("every command has a summary and examples, and one kind of flag a name", async () => {
    for (const row of COMMANDS) {
      const { name, summary, examples, args } = await row.load();
      expect(name).toBe(row.name);
      expect(summary).toMatch(/^[A-Z].*[^.]$/);
      expect(examples.filter((each) => ` ${each}`.includes(` ${name}`)).length).toBe(
        examples.length,
      );
      expect(examples.length).toBeGreaterThan(0);
      expect(
        Object.keys(args).filter((flag) => Object.hasOwn(GLOBAL_ARGS, flag) && flag !== "key"),
      ).toEqual([]);
    }
  });
});
