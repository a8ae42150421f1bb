/** Command lines, variables, files, addresses: a value that holds together, or one line of why. */
import { expect } from "bun:test";
import fc from "fast-check";
import { formatDuration, parseDurationMs } from "../../src/base/durations.ts";
import { parseArguments } from "../../src/cli/arguments.ts";
import { environmentFlags, GLOBAL_ARGS, resolveGlobals } from "../../src/cli/ctl/globals.ts";
import { ExitError, UsageError } from "../../src/cli/exit.ts";
import { readCommandLine, type ServeCommand } from "../../src/cli/serve/command-line.ts";
import { readEtcdCommandLine, StrayWordError } from "../../src/cli/serve/etcd-command-line.ts";
import { addressText, parseAddress } from "../../src/net/address.ts";
import { listenAddressOf, parseMembers, parseUrls } from "../../src/server/config/addresses.ts";
import { type Config, loadConfig } from "../../src/server/config/config.ts";
import { ConfigError } from "../../src/server/config/config-error.ts";
import { ETCD_SETTINGS } from "../../src/server/config/etcd/etcd-settings.ts";
import type { Meaning } from "../../src/server/config/setting.ts";
import {
  environmentOf,
  etcdEnvironmentOf,
  flagOf,
  SETTINGS,
} from "../../src/server/config/settings.ts";
import type { ConfigSources, Role } from "../../src/server/config/sources.ts";
import { fuzz } from "./fuzz.ts";

const OWN = SETTINGS.map((row): [string, Meaning] => [flagOf(row), row]);
const PATHS = SETTINGS.map((row): [string, Meaning] => [row.path, row]);
const ETCD = [
  ...ETCD_SETTINGS.map((row): [string, Meaning] => [row.etcd, row]),
  ...SETTINGS.flatMap((row): [string, Meaning][] => {
    return row.etcd === undefined ? [] : [[row.etcd, row]];
  }),
];

/** Whatever a person or a script may write, most of it wrong. */
const text = fc.oneof(
  fc.constantFrom("", "0", "-1", "1e9", "true", "x", "\n", "\0", "*", "a,b", "=", "9".repeat(400)),
  fc.string({ unit: "grapheme", maxLength: 12 }),
);
const host = fc.constantFrom(
  "127.0.0.1",
  "localhost",
  "[::1]",
  "0.0.0.0",
  "10.0.0.1",
  "h",
  "",
  "[",
);
const port = fc.oneof(fc.constantFrom("2379", "0", "65536", ""), fc.nat(65_535).map(String));
const address = fc.tuple(host, port).map((parts) => parts.join(":"));
const scheme = fc.constantFrom("http://", "https://", "unix://", "unixs://", "unix:", "", "ftp://");
const url = fc
  .tuple(scheme, address, fc.constantFrom("", "/", "/x", "?", "@"))
  .map((p) => p.join(""));
const urls = fc.array(url, { maxLength: 3 }).map((each) => each.join(","));
const members = fc
  .array(fc.tuple(fc.constantFrom("a", "default", "b", ""), url), { maxLength: 3 })
  .map((each) => each.map((pair) => pair.join("=")).join(","));
const number = fc.oneof(fc.nat(100_000), fc.integer(), fc.double(), fc.bigInt());
const duration = fc.oneof(
  fc.tuple(fc.nat(9999), fc.constantFrom("ms", "s", "m", "h", "ns", "")).map((p) => p.join("")),
  fc.constantFrom("1.5h", "-5s", ".s", "1m30s", "99999999h"),
);

/** What a setting of a kind takes, more often than not. */
function wordFor({ kind, choices = [], initial }: Meaning): fc.Arbitrary<string> {
  const right: Readonly<Record<Meaning["kind"], fc.Arbitrary<string>>> = {
    integer: number.map(String),
    boolean: fc.constantFrom("true", "false", "T", "0"),
    string: fc.constantFrom("c.pem", "jwt", "1000", "Name=true"),
    address,
    choice: fc.constantFrom(...choices, "other"),
    duration,
    list: fc.constantFrom("a", "a,b", "TLS_AES_128_GCM_SHA256", "stderr"),
    origins: fc.oneof(url, fc.constant("*")),
    urls,
    members,
  };
  return fc.oneof({ weight: 6, arbitrary: right[kind] }, text, fc.constant(String(initial)));
}

function pairOf(rows: readonly [string, Meaning][]): fc.Arbitrary<[string, string]> {
  const known = fc
    .constantFrom(...rows)
    .chain(([name, row]) => wordFor(row).map((word): [string, string] => [name, word]));
  const unknown = fc.tuple(text, text);
  return fc.oneof({ weight: 20, arbitrary: known }, unknown);
}

function wordsOf(rows: readonly [string, Meaning][]): fc.Arbitrary<string[]> {
  const flag = pairOf(rows).chain(([name, word]) =>
    fc.constantFrom(
      [`--${name}=${word}`],
      [`--${name}`, word],
      [`-${name}=${word}`],
      [`--${name}`],
    ),
  );
  return fc
    .array(
      fc.oneof(
        { weight: 30, arbitrary: flag },
        text.map((word) => [word]),
      ),
      {
        maxLength: 6,
      },
    )
    .map((each) => each.flat());
}

const variables = (rows: readonly [string, string, Meaning][]): fc.Arbitrary<[string, string][]> =>
  fc.array(
    fc
      .constantFrom(...rows)
      .chain(([, name, row]) => wordFor(row).map((word): [string, string] => [name, word])),
    { maxLength: 3 },
  );
const environment = fc
  .tuple(
    variables(SETTINGS.map((row) => [row.path, environmentOf(row), row])),
    variables(ETCD.map(([name, row]) => [name, etcdEnvironmentOf(name), row])),
  )
  .map((both): Record<string, string> => Object.fromEntries(both.flat()));

/** What is right, for drawn words to stand beside: alone they seldom come to a cluster or TLS. */
const PLACES = [
  ...["--listen-client-urls=https://127.0.0.1:1", "--advertise-client-urls=https://h:1"],
  ...["--listen-peer-urls=https://127.0.0.1:2", "--initial-advertise-peer-urls=https://h:2"],
  ...["--name=a", "--initial-cluster=a=https://h:2"],
];
const rightWords = fc.constantFrom(
  [],
  [...PLACES, "--auto-tls", "--peer-auto-tls"],
  [...PLACES, "--cert-file=c", "--key-file=k", "--trusted-ca-file=a", "--peer-auto-tls"],
  [...PLACES, "--auto-tls", "--peer-cert-file=c", "--peer-key-file=k", "--peer-trusted-ca-file=a"],
  ["--initial-cluster=default=http://localhost:2380,b=http://localhost:2480"],
);
const rightToml = fc.constantFrom(
  "",
  "tls.auto = true",
  'tls = {cert_file = "c", key_file = "k", ca_file = "a"}',
  'cluster = {peer_addr = "127.0.0.1:2", peers = [{node_id = 2, addr = "127.0.0.1:3"}]}',
);
const rightYaml = fc.constantFrom(
  "",
  "listen-client-urls: https://h:1\nadvertise-client-urls: https://h:1\n" +
    "client-transport-security: {auto-tls: true}",
  "initial-cluster: default=http://localhost:2380,b=http://localhost:2480",
);

/** A refusal is one of the kinds that the program prints, and one line that says something. */
function orRefusal<T>(take: () => T): T | undefined {
  try {
    return take();
  } catch (error) {
    const kinds = [ConfigError, UsageError, StrayWordError, ExitError];
    if (!kinds.some((kind) => error instanceof kind)) throw error;
    const isOurs = !(error instanceof ExitError) || error instanceof UsageError;
    expect((error as Error).message).toMatch(isOurs ? /^[^\n]+$/ : /./); // else as etcdctl says it
    return undefined;
  }
}

/** What later rooms rely on without looking again. */
function checkConfig(config: Config): void {
  expect(config.listenClient.length).toBeGreaterThan(0);
  const { listenClient, listenClientHttp, listenMetrics, listenPeer } = config;
  const listening = [...listenClient, ...listenClientHttp, ...listenMetrics, ...listenPeer];
  const secure = listening.map((each) => parseAddress(each)).some((each) => each.secure);
  if (secure) expect(config.clientTls ?? config.peerTls).toBeDefined();
  expect(config.founders.some(({ name }) => name === config.name)).toBe(true);
  expect(config.electionTimeoutMs).toBeGreaterThan(config.heartbeatIntervalMs);
  for (const tls of [config.clientTls, config.peerTls]) {
    if (tls === undefined) continue;
    expect(tls.certFile).not.toBe("");
    if (tls.crlFile !== undefined) expect(tls.clientCertRequired).toBe(true);
    expect(tls.versions.min <= tls.versions.max).toBe(true);
  }
}

function load(sources: ConfigSources): void {
  const config = orRefusal(() => loadConfig(sources));
  if (config === undefined) return;
  checkConfig(config);
  expect(loadConfig(sources)).toEqual(config);
}

function loadCommand(
  read: () => ServeCommand,
  role: Role,
  variables: ConfigSources["environment"],
) {
  const command = orRefusal(read);
  if (command?.kind === "serve") load({ role, environment: variables, flags: command.flags });
}

fuzz({
  name: "command-line",
  inputs: [rightWords, wordsOf([...OWN, ...ETCD]), environment],
  runs: 1000,
  check: (right, words, variables) => {
    loadCommand(() => readCommandLine([...right, ...words]), "aether", variables);
  },
});

fuzz({
  name: "etcd-command-line",
  inputs: [rightWords, wordsOf(ETCD), environment],
  runs: 1000,
  check: (right, words, variables) => {
    loadCommand(() => readEtcdCommandLine([...right, ...words]), "etcd", variables);
  },
});

/** A value as TOML has it, or what stands there instead. */
const tomlValue = fc.oneof(
  fc.constantFrom("true", "1", "-1", "1.5", "1979-05-27", "[]", '["a"]', "[1]", "{}", "inf", "0x1"),
  text.map((each) => JSON.stringify(each)),
);
const tomlLine = fc.constantFrom(...PATHS).chain(([path, row]) =>
  fc.oneof(
    { weight: 4, arbitrary: wordFor(row).map((word) => `${path} = ${literal(row, word)}`) },
    tomlValue.map((value) => `${path} = ${value}`),
  ),
);
const tomlOther = fc.constantFrom(
  ...[
    "[cluster]",
    "[tls]",
    "[[cluster.peers]]",
    "[cluster.peers]",
    "[a.b]",
    "node_id = 2",
    "x",
    "=",
  ],
  ...['addr = "127.0.0.1:1"', 'addr = "10.0.0.1:1"', '"cluster.peers" = 1', '[["cluster".peers]]'],
);

function literal({ kind }: Meaning, word: string): string {
  return kind === "integer" || kind === "boolean" ? word : JSON.stringify(word);
}

fuzz({
  name: "toml-file",
  inputs: [
    rightToml,
    fc.array(fc.oneof({ weight: 3, arbitrary: tomlLine }, tomlOther, text), { maxLength: 8 }),
  ],
  runs: 1000,
  check: (right, lines) => {
    const file = { name: "aether.toml", text: [right, ...lines].join("\n") };
    load({ file, environment: {}, flags: new Map() });
  },
});

const yamlLine = fc.constantFrom(...ETCD).chain(([name, row]) =>
  fc.oneof(
    wordFor(row).map((word) => `${name}: ${word}`),
    fc.constantFrom("null", "[a]", "{a: b}", "1.5", "2026-01-01", "&a", "*a", "|").map((value) => {
      return `${name}: ${value}`;
    }),
  ),
);
const yamlOther = fc.constantFrom(
  ...[
    "client-transport-security:",
    "peer-transport-security:",
    "  auto-tls: true",
    "  cert-file: c",
  ],
  ...[
    "  key-file: k",
    "  allowed-cn: a",
    "listen-client-urls: https://a:1",
    "- x",
    "? ",
    "a: b: c",
  ],
);

fuzz({
  name: "yaml-file",
  inputs: [rightYaml, fc.array(fc.oneof(yamlLine, yamlOther, text), { maxLength: 8 })],
  runs: 1000,
  check: (right, lines) => {
    const yaml = { name: "etcd.yml", text: [right, ...lines].join("\n") };
    load({ yaml, role: "etcd", environment: {}, flags: new Map() });
  },
});

fuzz({
  name: "address",
  inputs: [fc.oneof(url, address, text)],
  runs: 3000,
  check: (given) => {
    for (const each of orRefusal(() => parseUrls(given, "here")) ?? []) {
      const listened = parseAddress(listenAddressOf(each));
      if (listened.kind === "unix") continue;
      expect(parseAddress(addressText(listened), listened.secure)).toEqual(listened);
    }
    for (const { name, peerUrls } of orRefusal(() => parseMembers(`n=${given}`, "here")) ?? []) {
      expect(name).not.toBe("");
      expect(peerUrls.length).toBeGreaterThan(0);
    }
  },
});

fuzz({
  name: "duration",
  inputs: [fc.oneof(duration, text), fc.nat(Number.MAX_SAFE_INTEGER)],
  runs: 3000,
  check: (given, ns) => {
    const ms = parseDurationMs(given);
    if (ms !== undefined) expect(Number.isFinite(ms)).toBe(true);
    const printed = parseDurationMs(formatDuration(ns));
    expect(Math.abs((printed ?? 0) * 1e6 - ns)).toBeLessThanOrEqual(ns * 1e-12 + 1);
  },
});

const ctlFlags = Object.entries(GLOBAL_ARGS).map(([name]): [string, Meaning] => [
  name,
  { kind: "string", initial: "", help: "" },
]);

fuzz({
  name: "ctl-arguments",
  inputs: [
    wordsOf(ctlFlags),
    fc.dictionary(fc.constantFrom("ETCDCTL_CERT", "AETHERCTL_USER"), text),
  ],
  runs: 1000,
  check: (words, variables) => {
    orRefusal(() => {
      const { values } = environmentFlags(variables);
      resolveGlobals(parseArguments(words, GLOBAL_ARGS, values));
    });
  },
});
