import { describe, expect, test } from "bun:test";
import { ConfigError, parseAddress } from "../../src/server/config/check.ts";
import { type Config, loadConfig } from "../../src/server/config/config.ts";
import { environmentOf, flagOf, SETTINGS } from "../../src/server/config/settings.ts";

function load(toml: string, flags: Record<string, string> = {}, environment = {}): Config {
  const file = { name: "aether.toml", text: toml };
  return loadConfig({ file, environment, flags: new Map(Object.entries(flags)) });
}

function complaint(toml: string, flags: Record<string, string> = {}, environment = {}): string {
  try {
    load(toml, flags, environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return "no complaint";
}

describe("configuration", () => {
  test("defaults are those of the manual", () => {
    const config = load("");
    expect(config).toMatchObject({
      nodeId: 1,
      addr: "127.0.0.1:2379",
      dataDir: "data",
      heartbeatIntervalMs: 100,
      electionTimeoutMs: 1000,
      snapshotTriggerLogEntries: 10_000,
      leasesMax: 10_000,
      leaseTtlSecondsMax: 86_400,
      metricsAddr: "127.0.0.1:9090",
      metricsAddrChosen: false,
    });
  });

  test("flags override variables, variables override the file", () => {
    const toml = 'addr = "127.0.0.1:1"\ndata_dir = "a"\n[lease]\nmax_ttl = 5\n';
    const config = load(
      toml,
      { addr: "127.0.0.1:3" },
      { AETHER_ADDR: "127.0.0.1:2", AETHER_DATA_DIR: "b" },
    );
    expect([config.addr, config.dataDir, config.leaseTtlSecondsMax]).toEqual([
      "127.0.0.1:3",
      "b",
      5,
    ]);
  });

  const wrong: readonly [name: string, toml: string, message: string][] = [
    ["unknown key", 'addr = ":1"\nadress = 1\n', "aether.toml:2: adress: unknown key"],
    [
      "unknown key in a table",
      "[lease]\n\nmax_tll = 1\n",
      "aether.toml:3: lease.max_tll: unknown key; did you mean lease.max_ttl?",
    ],
    ["unknown table", "[raft]\nx = 1\n", "aether.toml:1: raft: unknown key"],
    [
      "wrong type",
      '[lease]\nmax_ttl = "1d"\n',
      'aether.toml:2: lease.max_ttl: expected a whole number from 1 to 9000000000, got "1d"',
    ],
    [
      "out of range",
      "node_id = 0\n",
      "aether.toml:1: node_id: expected a whole number from 1 to 2147483647, got 0",
    ],
    [
      "not an address",
      'addr = "nowhere"\n',
      'aether.toml:1: addr: expected an address "host:port", got "nowhere"',
    ],
    [
      "not a choice",
      '[log]\nlevel = "loud"\n',
      'aether.toml:2: log.level: expected one of trace, debug, info, warn, error, got "loud"',
    ],
    [
      "a table for a value",
      "[addr]\nx = 1\n",
      'aether.toml:1: addr: expected a string "host:port", got a table',
    ],
    [
      "what is not honoured",
      "[auth]\nenabled = true\n",
      "aether.toml:2: auth.enabled: true is refused: this version does not enforce users and roles",
    ],
    [
      "peers",
      '[[cluster.peers]]\nnode_id = 2\naddr = "127.0.0.1:2"\n',
      "cluster.peers: this version runs one node; remove the other members",
    ],
    [
      "election below heartbeats",
      "[cluster]\nelection_timeout_ms = 400\n",
      "cluster.election_timeout_ms: expected at least 5 times " +
        "cluster.heartbeat_interval_ms (100), got 400",
    ],
  ];
  for (const [name, toml, message] of wrong) {
    test(`${name} is one clear line`, () => expect(complaint(toml)).toBe(message));
  }

  test("broken TOML names its line", () => {
    expect(complaint('addr = "a:1"\nnode_id = = 2\n')).toMatch(/^aether\.toml:2: /);
  });
  test("flags and variables are checked alike", () => {
    expect(complaint("", { "node-id": "x" })).toMatch(/^--node-id: expected a whole number/);
    expect(complaint("", {}, { AETHER_NODE_ID: "" })).toMatch(/^AETHER_NODE_ID: expected a whole/);
    expect(complaint("", {}, { AETHER_NODEID: "1" })).toBe(
      "AETHER_NODEID: unknown environment variable",
    );
  });
  test("every setting has its own flag and variable", () => {
    expect(new Set(SETTINGS.map(flagOf)).size).toBe(SETTINGS.length);
    expect(new Set(SETTINGS.map(environmentOf)).size).toBe(SETTINGS.length);
  });
  test("addresses", () => {
    expect(parseAddress("[::1]:2379", "")).toEqual({ host: "::1", port: 2379 });
    expect(parseAddress(":2379", "")).toEqual({ host: "0.0.0.0", port: 2379 });
    for (const bad of ["x", "x:", "x:70000", "::1:1", "http://x:1", "a b:1"]) {
      expect(() => parseAddress(bad, "w")).toThrow(ConfigError);
    }
  });
});
