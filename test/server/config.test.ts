import { describe, expect, test } from "bun:test";
import { parseAddress } from "../../src/server/config/addresses.ts";
import { ConfigError } from "../../src/server/config/config-error.ts";
import { ETCD_SETTINGS } from "../../src/server/config/etcd/etcd-settings.ts";
import {
  environmentOf,
  etcdEnvironmentOf,
  flagOf,
  SETTINGS,
} from "../../src/server/config/settings.ts";
import { complaint, load, PEERS } from "./config-kit.ts";

const etcdOf = ({ etcd }: { readonly etcd: string }): string => etcd;

describe("configuration", () => {
  test("defaults are those of the manual", () => {
    const config = load("");
    expect(config).toMatchObject({
      name: "node-1",
      listenClient: ["127.0.0.1:2379"],
      listenPeer: [],
      listenMetrics: ["127.0.0.1:9090"],
      metricsChosen: false,
      clientUrls: ["http://127.0.0.1:2379"],
      peerUrls: ["http://127.0.0.1:2379"],
      founders: [{ name: "node-1", peerUrls: ["http://127.0.0.1:2379"] }],
      initialState: "new",
      token: "etcd-cluster",
      secret: undefined,
      secretsFile: undefined,
      forward: true,
      leaseReads: undefined,
      corruptCheckIntervalS: 3600,
      learnersMax: 1,
      strictReconfigCheck: true,
      snapshotBytesPerSecondMax: 67_108_864,
      dataDir: "data",
      heartbeatIntervalMs: 100,
      electionTimeoutMs: 1000,
      snapshotTriggerLogEntries: 10_000,
      leasesMax: 10_000,
      leaseTtlSecondsMax: 86_400,
    });
  });

  test("flags override variables, variables override the file", () => {
    const toml = 'addr = "127.0.0.1:1"\ndata_dir = "a"\n[lease]\nmax_ttl = 5\n';
    const config = load(
      toml,
      { addr: "127.0.0.1:3" },
      { AETHER_ADDR: "127.0.0.1:2", AETHER_DATA_DIR: "b" },
    );
    expect([config.listenClient[0], config.dataDir, config.leaseTtlSecondsMax]).toEqual([
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
      "aether.toml:2: log.level: expected one of trace, debug, info, warn, error, " +
        'dpanic, panic, fatal, got "loud"',
    ],
    [
      "a table for a value",
      "[addr]\nx = 1\n",
      'aether.toml:1: addr: expected a string "host:port", got a table',
    ],
    [
      "what is not honoured",
      "[shard]\nauto_split = true\n",
      "aether.toml:2: shard.auto_split: true is refused: this version has one region",
    ],
    [
      "a key that is easily guessed",
      '[auth]\nsigning_key = "short"\n',
      "aether.toml:2: auth.signing_key: a key has at least 32 bytes, not 5",
    ],
    [
      "two passwords for root",
      '[auth]\nenabled = true\nroot_password = "a"\nroot_password_file = "b"\n',
      "aether.toml:3: auth.root_password and aether.toml:4: auth.root_password_file: " +
        "one password is enough; unset one of them",
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
    const shared = SETTINGS.filter((setting) => setting.etcd === flagOf(setting));
    const etcd = [
      ...SETTINGS.flatMap(({ etcd: flag }) => flag ?? []),
      ...ETCD_SETTINGS.map(etcdOf),
    ];
    expect(new Set([...SETTINGS.map(flagOf), ...etcd]).size).toBe(
      SETTINGS.length + etcd.length - shared.length,
    );
    const variables = [...SETTINGS.map(environmentOf), ...etcd.map(etcdEnvironmentOf)];
    expect(new Set(variables).size).toBe(variables.length);
  });
  test("addresses", () => {
    expect(parseAddress("[::1]:2379", "")).toEqual({ host: "::1", port: 2379 });
    expect(parseAddress(":2379", "")).toEqual({ host: "0.0.0.0", port: 2379 });
    for (const bad of ["x", "x:", "x:70000", "::1:1", "http://x:1", "a b:1"]) {
      expect(() => parseAddress(bad, "w")).toThrow(ConfigError);
    }
  });
});

describe("members in aether.toml", () => {
  test("are the founders, this node among them, whether it is listed or not", () => {
    const founders = [1, 2, 3].map((id) => ({
      name: `node-${id}`,
      peerUrls: [`http://127.0.0.1:2${id + 2}79`],
    }));
    expect(load(PEERS)).toMatchObject({ name: "node-1", founders, listenPeer: [] });
    const second = load(`node_id = 2\naddr = "127.0.0.1:2479"\n${PEERS}`);
    expect(second).toMatchObject({ name: "node-2", founders });
    expect(second.peerUrls).toEqual(["http://127.0.0.1:2479"]);
    const others = PEERS.slice(PEERS.indexOf("[[", 2));
    expect(load(others).founders).toEqual(founders);
  });

  test("may take each other's words on another port than the clients'", () => {
    const peers = '[[cluster.peers]]\nnode_id = 2\naddr = "127.0.0.1:2480"\n';
    const config = load(`[cluster]\npeer_addr = "127.0.0.1:2380"\n${peers}`);
    expect(config).toMatchObject({
      listenClient: ["127.0.0.1:2379"],
      listenPeer: ["127.0.0.1:2380"],
      clientUrls: ["http://127.0.0.1:2379"],
      peerUrls: ["http://127.0.0.1:2380"],
    });
    expect(load('[cluster]\npeer_addr = "127.0.0.1:2379"\n').listenPeer).toEqual([]);
  });

  test("a node on every interface is known by what its own entry says", () => {
    const config = load(
      'addr = "0.0.0.0:2379"\n[cluster]\npeer_addr = ":2380"\nsecret = "s"\n' +
        '[[cluster.peers]]\nnode_id = 1\naddr = "n1.lan:2380"\n' +
        '[[cluster.peers]]\nnode_id = 2\naddr = "n2.lan:2380"\n',
    );
    expect(config).toMatchObject({
      listenClient: ["0.0.0.0:2379"],
      listenPeer: [":2380"],
      clientUrls: ["http://n1.lan:2379"],
      peerUrls: ["http://n1.lan:2380"],
    });
    expect(config.secret?.reveal()).toBe("s");
    expect(config.secretsFile).toBe("aether.toml");
  });

  test("the rest of the cluster's settings", () => {
    const toml =
      '[cluster]\nstate = "existing"\ntoken = "t"\nforward = false\nlease_reads = true\n' +
      "clock_drift_percent_max = 1\ncorrupt_check_interval_s = 0\nmax_learners = 3\n" +
      "strict_reconfig_check = false\nsnapshot_bytes_per_second_max = 65536\n";
    const config = load(toml, {}, { AETHER_CLUSTER_SECRET: "hidden" });
    expect(config.secret?.reveal()).toBe("hidden");
    expect(config.secretsFile).toBeUndefined();
    expect(Bun.inspect(config)).not.toContain("hidden");
    expect(config).toMatchObject({
      initialState: "existing",
      token: "t",
      forward: false,
      leaseReads: { clockDriftPercentMax: 1 },
      corruptCheckIntervalS: 0,
      learnersMax: 3,
      strictReconfigCheck: false,
      snapshotBytesPerSecondMax: 65_536,
    });
  });

  const other = '\n[[cluster.peers]]\nnode_id = 2\naddr = "127.0.0.1:2479"\n';
  const wrong: readonly [name: string, toml: string, message: string][] = [
    ["a node id twice", `${PEERS}${other}`, ":14: cluster.peers: node_id 2 stands there twice"],
    [
      "an address twice",
      PEERS.replace("2579", "2479"),
      ":10: cluster.peers: addr 127.0.0.1:2479 stands there twice",
    ],
    [
      "an own entry with another address",
      PEERS.replace("2379", "2380"),
      ":2: cluster.peers: node_id 1 is this node, which listens on 127.0.0.1:2379, " +
        "not on 127.0.0.1:2380",
    ],
    [
      "another member at our address",
      PEERS.replace("node_id = 1", "node_id = 4"),
      ":2: cluster.peers: http://127.0.0.1:2379 stands there twice",
    ],
    [
      "a port that is drawn",
      `addr = "127.0.0.1:0"${other}`,
      ":2: cluster.peers: http://127.0.0.1:0: other members cannot know a port that is drawn",
    ],
    [
      "another member's port that is drawn",
      other.replace("2479", "0"),
      ":2: cluster.peers: http://127.0.0.1:0: other members cannot know a port that is drawn",
    ],
    [
      "every interface",
      `addr = ":2379"${other}`,
      ":2: cluster.peers: http://:2379: other members cannot call every interface; " +
        "list this node with the address that they use",
    ],
    [
      "loopback among machines",
      '[[cluster.peers]]\nnode_id = 2\naddr = "10.0.0.2:2379"\n',
      ":1: cluster.peers: a member at http://10.0.0.2:2379 cannot call this one at " +
        "http://127.0.0.1:2379",
    ],
    [
      "several machines without a secret",
      `addr = "10.0.0.1:2379"${other.replace("127.0.0.1", "10.0.0.2")}`,
      ":2: cluster.peers: members on several machines (http://10.0.0.1:2379) need " +
        "cluster.secret, the same at each: set AETHER_CLUSTER_SECRET, or the key in the " +
        "configuration file; or [peer_tls] with certificates of one ca_file",
    ],
    [
      "an entry without an address",
      "[[cluster.peers]]\nnode_id = 2\n",
      ':1: cluster.peers: addr: expected "host:port"',
    ],
    [
      "an entry with another key",
      '[[cluster.peers]]\nnode_id = 2\naddr = "127.0.0.1:1"\nname = "x"\n',
      ":1: cluster.peers: unknown key name",
    ],
    [
      "a table for the array",
      "[cluster.peers]\nnode_id = 2\n",
      ":1: cluster.peers: expected [[cluster.peers]] with node_id and addr",
    ],
    [
      "a misspelt array",
      "[[cluster.peer]]\nnode_id = 2\n",
      ":1: cluster.peer: unknown key; did you mean cluster.peers?",
    ],
  ];
  test.each(wrong)("%s", (_name, toml, message) => {
    expect(complaint(toml)).toBe(`aether.toml${message}`);
  });
});
