/** The command line of a server called etcd: Go's flag rules and complaints. */
import { describe, expect, test } from "bun:test";
import { UsageError } from "../../src/cli/exit.ts";
import { readEtcdCommandLine, StrayWordError } from "../../src/cli/serve/etcd-command-line.ts";
import { type GoFlagKind, parseGoFlags } from "../../src/cli/serve/go-flags.ts";

const KINDS: Readonly<Record<string, GoFlagKind>> = { b: "boolean", v: "value", o: "optional" };
const parse = (...words: string[]) => parseGoFlags(words, (name) => KINDS[name]);

describe("Go's flags", () => {
  test("one dash or two, joined or apart, booleans alone, the last wins", () => {
    const { values, rest } = parse("-v", "1", "--v=2", "-b", "--o", "-o=x", "rest", "-b=false");
    expect([...values]).toEqual([
      ["v", "2"],
      ["b", "true"],
      ["o", "x"],
    ]);
    expect(rest).toEqual(["rest", "-b=false"]);
  });

  test("end at -- and at the first word that is none; a dash alone is a word", () => {
    expect(parse("--", "-v").rest).toEqual(["-v"]);
    expect(parse("-", "-b").rest).toEqual(["-", "-b"]);
    expect(parse("-b", "false").rest).toEqual(["false"]);
    expect(parse("-v", "-b").values.get("v")).toBe("-b");
    expect(parse("--v=").values.get("v")).toBe("");
  });

  const wrong: readonly [words: string[], message: string][] = [
    [["--nope"], "flag provided but not defined: -nope"],
    [["-v"], "flag needs an argument: -v"],
    [["---v"], "bad flag syntax: ---v"],
    [["-=x"], "bad flag syntax: -=x"],
  ];
  test.each(wrong)("%p", (words, message) => {
    expect(() => parse(...words)).toThrow(new UsageError(message));
  });

  test("help is a flag of every program", () => {
    expect(parse("-v", "1", "-h", "--nope").values.get("help")).toBe("true");
  });
});

describe("etcd's command line", () => {
  const usage: readonly [words: string[], message: RegExp][] = [
    [["-heartbeat-interval", "abc"], /^invalid value "abc" for flag -heartbeat-interval: /],
    [["--enable-pprof=maybe"], /^invalid boolean value "maybe" for flag -enable-pprof: /],
    [["--initial-cluster-state=foo"], /^invalid value "foo" for flag -initial-cluster-state: /],
    [["--listen-client-urls=x"], /^invalid value "x" for flag -listen-client-urls: /],
    [["--corrupt-check-time=5"], /^invalid value "5" for flag -corrupt-check-time: /],
  ];
  test.each(usage)("%p ends with 2", (words, message) => {
    expect(() => readEtcdCommandLine(words)).toThrow(UsageError);
    expect(() => readEtcdCommandLine(words)).toThrow(message);
  });

  test.each([[["stray"]], [["--enable-pprof", "false"]], [["gateway", "start"]], [["grpc-proxy"]]])(
    "%p ends with 1",
    (words) => {
      expect(() => readEtcdCommandLine(words)).toThrow(StrayWordError);
    },
  );

  test("flags, the file, version and help", () => {
    const command = readEtcdCommandLine(["--name", "a", "-config-file=f", "--pre-vote=false"]);
    expect(command).toEqual({
      kind: "serve",
      configFile: undefined,
      etcdFile: "f",
      flags: new Map([
        ["name", "a"],
        ["pre-vote", "false"],
      ]),
    });
    expect(readEtcdCommandLine(["--version", "--name=a"]).kind).toBe("version");
    expect(readEtcdCommandLine(["-h"]).kind).toBe("help");
    expect(readEtcdCommandLine(["--version=false"]).kind).toBe("serve");
  });
});
