/** etcd's --config-file, as etcd.conf.yml.sample of its sources has it. */
import { describe, expect, test } from "bun:test";
import { type Config, loadConfig } from "../../../src/server/config/config.ts";

const NO_FLAGS: ReadonlyMap<string, string> = new Map();

function load(text: string, flags = NO_FLAGS, environment = {}): Config {
  const yaml = { name: "etcd.yml", text };
  return loadConfig({ role: "etcd", yaml, environment, flags });
}

function complaint(text: string): string {
  try {
    load(text);
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  return "no complaint";
}

/** Every key of the sample that etcd ships, with its values. */
const SAMPLE = `
name: 'default'
data-dir:
wal-dir:
snapshot-count: 10000
heartbeat-interval: 100
election-timeout: 1000
quota-backend-bytes: 0
listen-peer-urls: http://localhost:2380
listen-client-urls: http://localhost:2379
max-snapshots: 5
max-wals: 5
cors:
initial-advertise-peer-urls: http://localhost:2380
advertise-client-urls: http://localhost:2379
discovery:
discovery-fallback: 'proxy'
discovery-proxy:
discovery-srv:
initial-cluster:
initial-cluster-token: 'etcd-cluster'
initial-cluster-state: 'new'
strict-reconfig-check: false
enable-pprof: true
proxy: 'off'
proxy-failure-wait: 5000
client-transport-security:
  cert-file:
  key-file:
  client-cert-auth: false
  trusted-ca-file:
  auto-tls: false
peer-transport-security:
  cert-file:
  key-file:
  client-cert-auth: false
  trusted-ca-file:
  auto-tls: false
  allowed-cn:
  allowed-hostname:
self-signed-cert-validity: 1
log-level: debug
logger: zap
log-outputs: [stderr]
force-new-cluster: false
auto-compaction-mode: periodic
auto-compaction-retention: "1"
cipher-suites: [
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
]
tls-min-version: 'TLS1.2'
tls-max-version: 'TLS1.3'
`;

describe("etcd's file", () => {
  test("its sample is understood", () => {
    expect(load(SAMPLE)).toMatchObject({
      name: "default",
      dataDir: "default.etcd",
      listenClient: ["127.0.0.1:2379"],
      clientUrls: ["http://localhost:2379"],
      strictReconfigCheck: false,
      http: { pprof: true },
      log: { level: "debug", outputs: ["stderr"] },
    });
  });

  test("durations are nanoseconds, lists are lists, blocks are flags with a prefix", () => {
    const config = load(`
name: a
listen-client-urls: https://127.0.0.1:1,https://127.0.0.1:2
advertise-client-urls: https://a.example:1
watch-progress-notify-interval: 5000000000
grpc-keepalive-min-time: 1500000000
log-outputs: [stdout, /tmp/x.log]
auto-compaction-retention: 5
experimental-max-learners: 2
feature-gates: InitialCorruptCheck=true
socket-options: { reuse-port: true }
client-transport-security:
  cert-file: c.pem
  key-file: k.pem
  client-cert-auth: true
`);
    expect(config).toMatchObject({
      name: "a",
      listenClient: ["https://127.0.0.1:1", "https://127.0.0.1:2"],
      watchProgressMs: 5000,
      keepalive: { pingIntervalMinMs: 1500 },
      log: { outputs: ["stdout", "/tmp/x.log"] },
      learnersMax: 2,
      features: { InitialCorruptCheck: true },
      reusePort: true,
      clientTls: { certFile: "c.pem", keyFile: "k.pem", clientCertRequired: true },
    });
  });

  test("JSON is YAML too", () => {
    expect(load('{"name": "j", "max-txn-ops": 5}')).toMatchObject({ name: "j", txnOpsMax: 5 });
  });

  test("flags and variables are passed over, and named", () => {
    const flags = new Map([["name", "flag"]]);
    const config = load("name: file", flags, {
      ETCD_DATA_DIR: "/x",
      ETCD_ELECTION_TIMEOUT: "9999",
    });
    expect(config).toMatchObject({ name: "file", dataDir: "file.etcd", electionTimeoutMs: 1000 });
    expect(config.notices[0]).toMatchObject({
      level: "warn",
      fields: { file: "etcd.yml", ignored: "data-dir, election-timeout, name" },
    });
    expect(load("name: file").notices[0]).toMatchObject({ level: "info" });
  });

  const wrong: readonly [string, string][] = [
    ["name: a\nnmae: b\n", "etcd.yml:2: nmae: unknown key; did you mean name?"],
    [
      "\npeer-transport-security:\n  cert-flie: x\n",
      "etcd.yml:3: peer-transport-security.cert-flie: unknown key; " +
        "did you mean peer-transport-security.cert-file?",
    ],
    [
      "watch-progress-notify-interval: 5s",
      "etcd.yml:1: watch-progress-notify-interval: expected whole nanoseconds, " +
        'as 5000000000 for five seconds, got "5s"',
    ],
    ["unheard-of-thing: 1", "etcd.yml:1: unheard-of-thing: unknown key"],
    [
      "heartbeat-interval: x",
      'etcd.yml:1: heartbeat-interval: expected a whole number from 10 to 60000, got "x"',
    ],
    ["- a\n- b", "etcd.yml: expected keys with values, got an array"],
    ["discovery: x", 'etcd.yml:1: discovery: "x" is refused: members are found by'],
  ];
  test.each(wrong)("%j", (text, message) => {
    expect(complaint(text)).toStartWith(message);
  });

  test("what is no YAML is said to be none", () => {
    expect(complaint("a: [1\nb: {")).toStartWith("etcd.yml: not valid YAML: ");
  });
});
