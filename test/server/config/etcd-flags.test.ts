/** Flags, variables and files of etcd: that none is unknown, and what each kind of row does. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { readEtcdCommandLine } from "../../../src/cli/serve/etcd-command-line.ts";
import { type Config, loadConfig } from "../../../src/server/config/config.ts";
import { ConfigError } from "../../../src/server/config/config-error.ts";
import { ETCD_SETTINGS } from "../../../src/server/config/etcd/etcd-settings.ts";
import { etcdEnvironmentOf } from "../../../src/server/config/settings.ts";
import { etcdNames } from "../../../src/server/config/sources.ts";
import { witness } from "../../support/etcd-witness.ts";
import { ETCD } from "../../support/processes.ts";
import { ETCD_FLAG_NAMES } from "./etcd-flag-names.ts";

type Environment = Readonly<Record<string, string>>;

/** As the program called etcd would, up to its configuration. */
function etcd(words: readonly string[], environment: Environment = {}): Config {
  const command = readEtcdCommandLine(words);
  if (command.kind !== "serve") throw new Error(`it only says its ${command.kind}`);
  return loadConfig({ role: "etcd", environment, flags: command.flags });
}

function complaint(words: readonly string[], environment: Environment = {}): string {
  try {
    etcd(words, environment);
  } catch (error) {
    if (error instanceof Error) return `${error.name}: ${error.message}`;
    throw error;
  }
  return "";
}

const messages = ({ notices }: Config): string[] => {
  return notices.map(({ message, fields }) => `${message} ${JSON.stringify(fields)}`);
};

/** Of a row in the form of a flag. */
function textOf(initial: number | boolean | string, kind: string): string {
  return kind === "duration" ? `${Number(initial)}ms` : String(initial);
}

/** What --help says of one program: each flag with its default. */
async function helpOf(program: string): Promise<[name: string, initial: string][]> {
  const child = Bun.spawn([program, "--help"], { stdout: "pipe", stderr: "ignore" });
  const text = await new Response(child.stdout).text();
  const rows = text.matchAll(/^ {2}--([a-z0-9-]+)(?: '(.*)'| (\d+))?$/gm);
  return [...rows].map(([, name = "", quoted, bare]) => [name, quoted ?? bare ?? ""]);
}

/** Defaults that are no values, and one that stands for two members of one cluster. */
const NO_VALUE = /^\$\{|^math\.|^$|^'|^default=/;

describe("no flag is unknown", () => {
  test("of those that the sources of 3.4 to 3.7 name", () => {
    const known = new Set([...etcdNames(), "config-file", "version", "help"]);
    expect(ETCD_FLAG_NAMES.filter((name) => !known.has(name))).toEqual([]);
  });

  for (const [version, program] of [
    ["3.4", ETCD],
    ["3.7.1", witness?.etcd],
  ] as const) {
    test.skipIf(program === undefined)(`of etcd ${version}'s help, with its default`, async () => {
      const rows = await helpOf(program as string);
      expect(rows.length).toBeGreaterThan(70);
      for (const [name, initial] of rows) {
        if (name === "config-file" || NO_VALUE.test(initial)) continue;
        const wrong = complaint([`--${name}=${initial}`]);
        // Alone it says what --listen-client-urls always does: that the other one is missing.
        const isKnown = wrong === "" || /--advertise-client-urls is needed/.test(wrong);
        expect([name, initial, isKnown ? "" : wrong]).toEqual([name, initial, ""]);
      }
    });
  }

  test("each has one row, and its default is one of its values", () => {
    expect(new Set(etcdNames()).size).toBe(etcdNames().length);
    for (const { etcd: name, kind, initial, yamlOnly } of ETCD_SETTINGS) {
      if (yamlOnly || name.startsWith("listen-client-urls")) continue;
      if (initial === "") continue;
      expect([name, complaint([`--${name}=${textOf(initial, kind)}`])]).toEqual([name, ""]);
    }
  });
});

describe("what changes nothing here", () => {
  const inert = ETCD_SETTINGS.filter((row) => row.inert !== undefined);
  test.each(inert.map((row) => [row.etcd, row] as const))("is taken and named: %s", (name, row) => {
    const text = row.initial === "" ? "x" : textOf(row.initial, row.kind);
    const said = messages(etcd([`--${name}=${text}`]));
    expect(said).toHaveLength(1);
    expect(said[0]).toContain("settings of etcd that change nothing here");
    expect(said[0]).toContain(`"--${name}":`);
  });

  test("is named in one line, also by its variable", () => {
    const said = messages(etcd(["--max-wals=9", "--memory-mlock"], { ETCD_MAX_SNAPSHOTS: "3" }));
    expect(said).toHaveLength(2);
    expect(said[0]).toContain("ETCD_MAX_SNAPSHOTS"); // that it was used
    expect(said[1]).toMatch(/--max-wals.*/);
    expect(said[1]).toMatch(/"--memory-mlock":.*/);
    expect(said[1]).toMatch(/"ETCD_MAX_SNAPSHOTS":.*/);
  });
});

describe("what cannot be honoured", () => {
  test("is written down in README", async () => {
    const readme = await Bun.file(join(import.meta.dir, "../../../README.md")).text();
    const missing = refused.filter(({ etcd: name }) => !readme.includes(`\`--${name}\``));
    expect(missing.map(({ etcd: name }) => name)).toEqual([]);
  });

  const refused = ETCD_SETTINGS.filter((row) => row.refused !== undefined && !row.yamlOnly);
  test.each(refused.map((row) => [row.etcd, row] as const))("is refused: %s", (name, row) => {
    const other = row.kind === "boolean" ? "true" : row.kind === "choice" ? "on" : "x";
    expect(complaint([`--${name}=${other}`])).toBe(
      `ConfigError: --${name}: ${row.kind === "boolean" ? "true" : `"${other}"`} is refused: ` +
        `${row.refused}`,
    );
    if (row.kind === "boolean") expect(complaint([`--${name}=false`])).toBe("");
  });
});

describe("flags", () => {
  test("twins of 3.4 to 3.6 are their settings", () => {
    const config = etcd([
      "--experimental-watch-progress-notify-interval=5s",
      "--experimental-warning-apply-duration=250ms",
      "--experimental-max-learners=3",
      "--experimental-corrupt-check-time=90s",
      "--experimental-snapshot-catchup-entries=7",
      "--experimental-stop-grpc-service-on-defrag",
      "--debug",
    ]);
    expect(config).toMatchObject({
      watchProgressMs: 5000,
      warnApplyMs: 250,
      learnersMax: 3,
      corruptCheckIntervalS: 90,
      keptLogEntries: 7,
      features: { StopGRPCServiceOnDefrag: true, TxnModeWriteWithSharedBuffer: true },
      log: { level: "debug" },
    });
  });

  test("limits, keepalive, users, HTTP and upkeep come in their units", () => {
    const config = etcd([
      ...["--max-request-bytes=10485760", "--max-txn-ops=1000", "--max-concurrent-streams=9"],
      ...["--grpc-keepalive-min-time=1s", "--grpc-keepalive-interval=0", "--auth-token-ttl=9"],
      ...["--grpc-keepalive-timeout=3s", "--quota-backend-bytes=-1", "--bcrypt-cost=4"],
      ...["--auto-compaction-mode=revision", "--auto-compaction-retention=1000"],
      ...["--cors=http://a.example,http://b.example", "--host-whitelist=c.example"],
      ...["--enable-grpc-gateway=false", "--enable-pprof", "--metrics=extensive"],
      ...["--wal-dir=/w", "--unsafe-no-fsync", "--socket-reuse-port", "--auth-token=jwt,x=y"],
    ]);
    expect(config).toMatchObject({
      requestBytesMax: 10_485_760,
      txnOpsMax: 1000,
      concurrentStreamsMax: 9,
      keepalive: { pingIntervalMinMs: 1000, idleMs: Number.POSITIVE_INFINITY, timeoutMs: 3000 },
      quotaBackendBytes: -1,
      auth: { token: "jwt,x=y", bcryptCost: 4, tokenTtlSeconds: 9 },
      http: {
        cors: ["http://a.example", "http://b.example"],
        hostWhitelist: ["c.example"],
        gateway: false,
        pprof: true,
      },
      extensiveMetrics: true,
      logDir: "/w",
      unsafeNoFsync: true,
      reusePort: true,
    });
    expect(messages(config)[0]).toContain("nothing is synced");
  });

  test("origins are what browsers say, or every one", () => {
    expect(etcd(["--cors=*"]).http.cors).toEqual(["*"]);
    expect(etcd(["--cors=https://a.example"]).http.cors).toEqual(["https://a.example"]);
    for (const wrong of ["a.example", "http://a/x", "http://a:1,*", "ftp://a", "http://a,,"]) {
      expect(complaint([`--cors=${wrong}`])).toStartWith("UsageError: invalid value ");
    }
  });

  test("feature gates, alone and by stage", () => {
    const gates = "AllAlpha=true,LeaseCheckpoint=false,LeaseCheckpointPersist=false";
    expect(etcd([`--feature-gates=${gates}`]).features).toMatchObject({
      InitialCorruptCheck: true,
      LeaseCheckpoint: false,
      FastLeaseKeepAlive: true,
    });
    expect(complaint(["--feature-gates=Nothing=true"])).toStartWith("ConfigError: --feature-gates");
    expect(complaint(["--feature-gates=LeaseCheckpointPersist=true"])).toContain("needs");
  });

  test("log lines as etcd writes them, unless another form or place is asked for", () => {
    expect(etcd([]).log).toMatchObject({ level: "info", form: "zap-json", outputs: ["stderr"] });
    expect(etcd(["--log-format=console", "--log-outputs=stdout,/f"]).log).toMatchObject({
      form: "zap-console",
      outputs: ["stdout", "/f"],
    });
    const rotation = ["--log-outputs=/f", "--enable-log-rotation"];
    expect(etcd(rotation).log.rotation?.bytesMax).toBe(100 * 1024 * 1024);
    expect(complaint(["--enable-log-rotation"])).toContain("one file in --log-outputs");
  });

  test("TLS: files, strictness, versions and suites", () => {
    const config = etcd([
      ...["--cert-file=c", "--key-file=k", "--trusted-ca-file=ca"],
      ...["--listen-client-urls=https://0.0.0.0:1", "--advertise-client-urls=https://x:1"],
      ...["--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_AES_128_GCM_SHA256"],
    ]);
    expect(config.clientTls).toEqual({
      certFile: "c",
      keyFile: "k",
      caFile: "ca",
      crlFile: undefined,
      allowedCommonNames: [],
      allowedHostnames: [],
      selfSigned: undefined,
      calledUnverified: false,
      clientCertRequired: true, // as in etcd: whoever names an authority wants certificates
      callerCertFile: undefined,
      callerKeyFile: undefined,
      addressesChecked: false,
      versions: { min: "TLS1.2", max: "TLS1.3" },
      ciphers: "ECDHE-RSA-AES128-GCM-SHA256",
    });
    expect(config.peerTls).toBeUndefined();
    const plain = etcd(["--peer-cert-file=c", "--peer-key-file=k"]);
    expect(messages(plain)[0]).toContain("--peer-cert-file");
    const only13 = ["--listen-peer-urls=https://127.0.0.1:1", "--peer-cert-file=c"];
    only13.push("--peer-key-file=k", "--tls-min-version=TLS1.3");
    expect(complaint([...only13, "--tls-max-version=TLS1.2"])).toContain("is below");
    expect(complaint([...only13, "--cipher-suites=TLS_AES_128_GCM_SHA256"])).toContain("chosen");
  });
});

describe("variables", () => {
  test("are named when they are used, and when nobody knows them", () => {
    const said = messages(etcd([], { ETCD_NAME: "n", ETCD_SERVICE_HOST: "x", ETCD_WAL_DIR: "" }));
    expect(said).toEqual([
      'settings from variables {"variables":"ETCD_NAME"}',
      'unrecognized environment variable {"variables":"ETCD_SERVICE_HOST"}',
    ]);
  });

  test("beside their flag are refused, as etcd does", () => {
    expect(complaint(["--name=a"], { ETCD_NAME: "b" })).toBe(
      "ConfigError: ETCD_NAME and --name say the same thing: unset one of them",
    );
  });

  test("every flag has one", () => {
    for (const name of etcdNames()) {
      const value = ETCD_SETTINGS.find((row) => row.etcd === name)?.kind === "boolean" ? "z" : "";
      if (value === "") continue;
      const wrong = complaint([], { [etcdEnvironmentOf(name)]: value });
      expect(wrong).toStartWith(`ConfigError: ${etcdEnvironmentOf(name)}: expected true or false`);
    }
  });

  test("of the wrong kind are errors of the configuration, not of the command line", () => {
    expect(() => etcd([], { ETCD_HEARTBEAT_INTERVAL: "abc" })).toThrow(ConfigError);
  });
});
