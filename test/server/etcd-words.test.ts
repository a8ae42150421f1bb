/** A member that is started with etcd's flags and variables. */
import { describe, expect, test } from "bun:test";
import { loadConfig } from "../../src/server/config/config.ts";
import { complaint, PEERS } from "./config-kit.ts";

const INFRA = {
  name: "infra0",
  "listen-client-urls": "http://10.0.1.10:2379,http://127.0.0.1:2379",
  "advertise-client-urls": "http://10.0.1.10:2379",
  "listen-peer-urls": "http://10.0.1.10:2380",
  "initial-advertise-peer-urls": "http://10.0.1.10:2380",
  "initial-cluster-token": "etcd-cluster-1",
  "initial-cluster":
    "infra0=http://10.0.1.10:2380,infra1=http://10.0.1.11:2380,infra2=http://10.0.1.12:2380",
  "initial-cluster-state": "new",
};
const SECRET = { AETHER_CLUSTER_SECRET: "long enough to be none of the words" };
const URL_FORMS = "URLs http://host:port, https://host:port or unix://path";
const LOCAL = "a=http://127.0.0.1:2380,b=http://127.0.0.1:2480";

describe("etcd's words", () => {
  const etcd = (flags: Record<string, string>, environment: Record<string, string> = SECRET) =>
    loadConfig({ environment, flags: new Map(Object.entries(flags)) });

  test("the example of etcd's clustering guide", () => {
    expect(etcd(INFRA)).toMatchObject({
      name: "infra0",
      dataDir: "infra0.etcd",
      listenClient: ["10.0.1.10:2379", "127.0.0.1:2379"],
      listenPeer: ["10.0.1.10:2380"],
      listenMetrics: [],
      clientUrls: ["http://10.0.1.10:2379"],
      peerUrls: ["http://10.0.1.10:2380"],
      token: "etcd-cluster-1",
      initialState: "new",
      founders: [
        { name: "infra0", peerUrls: ["http://10.0.1.10:2380"] },
        { name: "infra1", peerUrls: ["http://10.0.1.11:2380"] },
        { name: "infra2", peerUrls: ["http://10.0.1.12:2380"] },
      ],
    });
  });

  test("defaults are etcd's as soon as one of its words is used", () => {
    expect(etcd({ name: "a" })).toMatchObject({
      name: "a",
      dataDir: "a.etcd",
      listenClient: ["127.0.0.1:2379"],
      listenPeer: ["127.0.0.1:2380"],
      clientUrls: ["http://localhost:2379"],
      peerUrls: ["http://localhost:2380"],
      founders: [{ name: "a", peerUrls: ["http://localhost:2380"] }],
    });
    expect(etcd({ "snapshot-count": "50" }).dataDir).toBe("default.etcd");
    expect(etcd({}, { ETCD_HEARTBEAT_INTERVAL: "50" }).dataDir).toBe("default.etcd");
  });

  test("a flag of both dialects belongs to the one that is spoken", () => {
    expect(etcd({ name: "a", "data-dir": "d", "log-level": "warn" })).toMatchObject({
      dataDir: "d",
      log: { level: "warn" },
      listenPeer: ["127.0.0.1:2380"],
    });
    expect(etcd({ "data-dir": "d" })).toMatchObject({ name: "node-1", dataDir: "d" });
    expect(etcd({ addr: "127.0.0.1:5", "snapshot-count": "50" })).toMatchObject({
      name: "node-1",
      dataDir: "data",
      snapshotTriggerLogEntries: 50,
    });
  });

  test("variables are understood, flags win", () => {
    const config = etcd(
      { name: "flag" },
      {
        ...SECRET,
        ETCD_NAME: "variable",
        ETCD_DATA_DIR: "/var/lib/etcd",
        ETCD_ELECTION_TIMEOUT: "2000",
        ETCD_MAX_LEARNERS: "2",
        ETCD_STRICT_RECONFIG_CHECK: "false",
        ETCD_INITIAL_CLUSTER: "",
        ETCD_LISTEN_METRICS_URLS: "http://127.0.0.1:2381,http://127.0.0.1:2382",
        ETCD_LOG_FORMAT: "json",
        ETCD_SERVICE_HOST: "10.96.0.7",
        ETCDCTL_API: "3",
      },
    );
    expect(config).toMatchObject({
      name: "flag",
      dataDir: "/var/lib/etcd",
      electionTimeoutMs: 2000,
      learnersMax: 2,
      strictReconfigCheck: false,
      listenMetrics: ["127.0.0.1:2381", "127.0.0.1:2382"],
      metricsChosen: true,
      log: { form: "json" },
    });
  });

  test("an empty variable is none, and --data-dir wins over ETCD_DATA_DIR", () => {
    const config = etcd({ "data-dir": "flag" }, { ETCD_NAME: "", ETCD_DATA_DIR: "variable" });
    expect(config).toMatchObject({ name: "default", dataDir: "flag" });
  });

  test("an empty --auth-token gives no tokens, an empty retention keeps everything", () => {
    const config = etcd({ "auth-token": "", "auto-compaction-retention": "" });
    expect(config.auth.token).toBe("");
    expect(config.autoCompaction).toBeUndefined();
    expect(complaint("", { "log-level": "" })).toContain("expected one of trace");
  });

  test("a name that stands in the cluster again has another URL, in any order", () => {
    const config = etcd({
      name: "a",
      "initial-advertise-peer-urls": "http://127.0.0.1:2,http://127.0.0.1:1",
      "initial-cluster": "a=http://127.0.0.1:1, b=http://127.0.0.1:3,a=http://127.0.0.1:2",
    });
    expect(config.founders).toEqual([
      { name: "a", peerUrls: ["http://127.0.0.1:1", "http://127.0.0.1:2"] },
      { name: "b", peerUrls: ["http://127.0.0.1:3"] },
    ]);
  });

  const wrong: readonly [name: string, flags: Record<string, string>, message: string][] = [
    [
      "listening without advertising",
      { "listen-client-urls": "http://127.0.0.1:1" },
      "--listen-client-urls: --advertise-client-urls is needed too: where clients find this member",
    ],
    [
      "TLS without a certificate",
      { "listen-peer-urls": "https://127.0.0.1:2380" },
      "https://127.0.0.1:2380: TLS needs --peer-cert-file and --peer-key-file",
    ],
    [
      "a certificate without its key",
      { "cert-file": "/x" },
      "--cert-file: a certificate and its key go together",
    ],
    [
      "a unix socket without a path",
      { "listen-peer-urls": "unix://" },
      `--listen-peer-urls: expected ${URL_FORMS}, got "unix://"`,
    ],
    [
      "no URL",
      { "listen-peer-urls": "127.0.0.1:2380" },
      `--listen-peer-urls: expected ${URL_FORMS}, got "127.0.0.1:2380"`,
    ],
    [
      "a path in a URL",
      { "listen-peer-urls": "http://127.0.0.1:2380/x" },
      `--listen-peer-urls: expected ${URL_FORMS}, got "http://127.0.0.1:2380/x"`,
    ],
    [
      "a URL without a port",
      { "listen-peer-urls": "http://127.0.0.1" },
      '--listen-peer-urls: http://127.0.0.1: expected an address "host:port", got "127.0.0.1"',
    ],
    [
      "members without a name",
      { "initial-cluster": "http://127.0.0.1:2380" },
      "--initial-cluster: expected members name=http://host:port, got " + '"http://127.0.0.1:2380"',
    ],
    [
      "a cluster without this member",
      { name: "c", "initial-cluster": LOCAL },
      "--initial-cluster: this member, c (--name), is not among a, b",
    ],
    [
      "this member at another URL",
      { name: "a", "initial-cluster": LOCAL, "initial-advertise-peer-urls": "http://127.0.0.1:1" },
      "--initial-cluster: a is at http://127.0.0.1:2380 there and at http://127.0.0.1:1 by " +
        "--initial-advertise-peer-urls",
    ],
    [
      "this member at one URL more",
      {
        "initial-advertise-peer-urls": "http://127.0.0.1:1,http://127.0.0.1:2",
        "initial-cluster": "default=http://127.0.0.1:1",
      },
      "--initial-cluster: default is at http://127.0.0.1:1 there and at " +
        "http://127.0.0.1:1,http://127.0.0.1:2 by --initial-advertise-peer-urls",
    ],
    [
      "two members at one URL",
      {
        name: "a",
        "initial-advertise-peer-urls": "http://127.0.0.1:2480",
        "initial-cluster": LOCAL.replace("2380", "2480"),
      },
      "--initial-cluster: http://127.0.0.1:2480 stands there twice",
    ],
    [
      "peers where clients are",
      { "listen-peer-urls": "http://localhost:2379" },
      "--listen-peer-urls: 127.0.0.1:2379 is where clients are listened for",
    ],
    [
      "two outputs of which one is the default",
      { "log-outputs": "default,stdout" },
      "--log-outputs: default goes with no other output, got default,stdout",
    ],
    [
      "an old API",
      { "enable-v2": "true" },
      "--enable-v2: true is refused: the API v2 is served by nobody since etcd 3.6",
    ],
  ];
  test.each(wrong)("%s", (_name, flags, message) => {
    expect(complaint("", flags)).toBe(message);
  });

  const TLS_PEERS: Record<string, string> = {
    ...INFRA,
    "listen-peer-urls": "https://10.0.1.10:2380",
    "initial-advertise-peer-urls": "https://10.0.1.10:2380",
    "initial-cluster": INFRA["initial-cluster"].replaceAll("http:", "https:"),
    "peer-cert-file": "c.pem",
    "peer-key-file": "k.pem",
  };
  const unproven: readonly [string, Record<string, string>, string][] = [
    ["in plaintext", INFRA, "http://10.0.1.10:2380"],
    ["with TLS that asks callers for no certificate", TLS_PEERS, "https://10.0.1.10:2380"],
    [
      "with certificates of their own making",
      { ...TLS_PEERS, "peer-cert-file": "", "peer-key-file": "", "peer-auto-tls": "true" },
      "https://10.0.1.10:2380",
    ],
    [
      "of which one is plaintext",
      {
        ...TLS_PEERS,
        "peer-trusted-ca-file": "ca.pem",
        "initial-cluster": `${TLS_PEERS["initial-cluster"]},x=http://10.0.1.13:2380`,
      },
      "http://10.0.1.13:2380",
    ],
  ];
  test.each(unproven)("members on several machines %s need a secret", (_name, flags, url) => {
    expect(complaint("", flags, {})).toBe(
      `--initial-cluster: members on several machines (${url}) have to prove who they are: set ` +
        "the same AETHER_CLUSTER_SECRET at each, or give them https:// URLs with " +
        "--peer-cert-file, --peer-key-file and --peer-trusted-ca-file",
    );
    expect(etcd(flags, SECRET).secret?.reveal()).toBe(SECRET.AETHER_CLUSTER_SECRET);
  });

  test("members on several machines that ask each other for certificates need none", () => {
    const authority = { "peer-trusted-ca-file": "ca.pem" };
    expect(etcd({ ...TLS_PEERS, ...authority }, {}).secret).toBeUndefined();
    const names = { "peer-client-cert-auth": "true", "peer-cert-allowed-cn": "member" };
    expect(etcd({ ...TLS_PEERS, ...names }, {}).secret).toBeUndefined();
  });

  test("the secret before is taken beside a newer one alone, and warned of", () => {
    const previous = { AETHER_CLUSTER_SECRET_PREVIOUS: "the one before, long" };
    const changing = etcd(TLS_PEERS, { ...SECRET, ...previous });
    expect(changing.previousSecret?.reveal()).toBe("the one before, long");
    expect(changing.notices).toMatchObject([
      { level: "warn", fields: { advice: expect.stringContaining("secret_previous") } },
    ]);
    expect(JSON.stringify(changing)).not.toContain("the one before");
    const needs = "needs another, newer cluster.secret beside it";
    expect(complaint("", TLS_PEERS, previous)).toContain(needs);
    const same = { AETHER_CLUSTER_SECRET_PREVIOUS: SECRET.AETHER_CLUSTER_SECRET };
    expect(complaint("", TLS_PEERS, { ...SECRET, ...same })).toContain(needs);
    expect(etcd(TLS_PEERS, SECRET).previousSecret).toBeUndefined();
  });

  test("a secret that can be guessed is warned of, and not said", () => {
    const short = etcd(TLS_PEERS, { AETHER_CLUSTER_SECRET: "fifteen letters" });
    expect(short.notices).toMatchObject([{ level: "warn", fields: { bytes: 15 } }]);
    expect(JSON.stringify(short.notices)).not.toContain("fifteen");
    expect(etcd(TLS_PEERS, { AETHER_CLUSTER_SECRET: "sixteen letters." }).notices).toEqual([]);
  });

  test("a secret hides nothing of what members say in plaintext, and it is said so", () => {
    const [notice, ...more] = etcd(INFRA).notices;
    expect(more).toEqual([]);
    expect(notice).toMatchObject({ level: "warn", fields: { advice: "https:// peer URLs" } });
    expect(JSON.stringify(notice)).toContain("the key that tokens are signed with");
    expect(etcd(TLS_PEERS).notices).toEqual([]);
  });

  test("a URL twice in a list counts once", () => {
    const flags = { "listen-peer-urls": "http://127.0.0.1:1,http://127.0.0.1:1" };
    expect(etcd(flags).listenPeer).toEqual(["127.0.0.1:1"]);
  });

  test("any free port for clients and any for peers are two", () => {
    const free = "http://127.0.0.1:0";
    const flags = { "listen-client-urls": free, "advertise-client-urls": free };
    expect(etcd({ ...flags, "listen-peer-urls": free }).listenPeer).toEqual(["127.0.0.1:0"]);
  });

  const mixed: readonly [string, Record<string, string>, Record<string, string>, string][] = [
    ["addr = ':1'", { name: "a" }, {}, "--name and aether.toml:1: addr"],
    ["", { name: "a" }, { AETHER_NODE_ID: "1" }, "--name and AETHER_NODE_ID"],
    [PEERS, {}, { ETCD_INITIAL_CLUSTER: LOCAL }, "ETCD_INITIAL_CLUSTER and aether.toml:2: clus"],
    [
      "",
      { "heartbeat-interval": "50", "cluster-heartbeat-interval-ms": "50" },
      {},
      "--heartbeat-i",
    ],
    ["data_dir = 'x'", {}, { ETCD_DATA_DIR: "x" }, "ETCD_DATA_DIR and aether.toml:1: data_dir: "],
    ["", { "log-format": "json" }, { AETHER_LOG_JSON: "true" }, "--log-format and AETHER_LOG_JSON"],
    [
      "[metrics]\nlisten_addr = ':1'",
      { "listen-metrics-urls": "http://127.0.0.1:1" },
      {},
      "--listen-metrics-urls and aether.toml:2: metrics.listen_addr: the same thing twice",
    ],
  ];
  test.each(mixed)("of the same thing as Aether's are refused: %s %j %j", (...row) => {
    const [toml, flags, environment, message] = row;
    expect(complaint(toml, flags, environment)).toStartWith(message);
    expect(complaint(toml, flags, environment)).toEndWith("or Aether's, not both");
  });

  test("of other things than Aether's go with them", () => {
    const toml = "[lease]\nmax_ttl = 5\n[metrics]\nlisten_addr = '127.0.0.1:9'\n";
    const file = { name: "aether.toml", text: toml };
    const flags = new Map([["name", "a"]]);
    expect(loadConfig({ file, environment: {}, flags })).toMatchObject({
      name: "a",
      leaseTtlSecondsMax: 5,
      listenMetrics: ["127.0.0.1:9"],
    });
  });
});
