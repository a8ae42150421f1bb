/** The forms of answers, help, completion and settings, without a server. */

import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import packageJson from "../../package.json";
import { VERSION } from "../../src/base/version.ts";
import { parseArguments } from "../../src/cli/arguments.ts";
import { COMMANDS } from "../../src/cli/ctl/command-table.ts";
import { discoverEndpoints } from "../../src/cli/ctl/discovery.ts";
import { environmentFlags, GLOBAL_ARGS, resolveGlobals } from "../../src/cli/ctl/globals.ts";
import { formatAnswer } from "../../src/cli/ctl/output/answer.ts";
import { messageJson, stringify } from "../../src/cli/ctl/output/go-json.ts";
import { rangeAnswer } from "../../src/cli/ctl/output/key-values.ts";
import { statusAnswer } from "../../src/cli/ctl/output/reports.ts";
import { renderTable } from "../../src/cli/ctl/output/table.ts";
import { hints } from "../../src/cli/serve/hints.ts";
import {
  AlarmResponse,
  RangeResponse,
  ResponseHeader,
  ResponseOp,
  StatusResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import { KeyValue } from "../../src/proto/gen/mvccpb.ts";
import { runFake } from "./fake-io.ts";

test("the version is that of the package", () => expect(VERSION).toBe(packageJson.version));

import { makeAuthority } from "../support/authority.ts";

describe("JSON", () => {
  test("64-bit numbers are exact, zero values left out, enums are numbers", () => {
    const header = ResponseHeader.create({ clusterId: 2n ** 64n - 1n, revision: 2 ** 53 - 1 });
    expect(stringify(messageJson(ResponseHeader, header))).toBe(
      '{"cluster_id":18446744073709551615,"revision":9007199254740991}',
    );
    const alarms = AlarmResponse.create({ alarms: [{ memberID: 5n, alarm: 1 }] });
    expect(stringify(messageJson(AlarmResponse, alarms))).toBe(
      '{"alarms":[{"memberID":5,"alarm":1}]}',
    );
  });

  test("an empty member of a oneof is there", () => {
    const op = ResponseOp.create({ responsePut: { header: undefined, prevKv: undefined } });
    expect(stringify(messageJson(ResponseOp, op))).toBe('{"Response":{"response_put":{}}}');
  });

  test("bytes in base64, texts escaped as Go does", () => {
    const kv = KeyValue.create({ key: "\xff<", value: Uint8Array.of(0, 255) });
    expect(stringify(messageJson(KeyValue, kv))).toBe('{"key":"/zw=","value":"AP8="}');
    const text = '"\\u003ca\\u0026b\\u003e\\u2028\\n\\""';
    expect(stringify('<a&b>\u2028\n"')).toBe(text);
    expect(stringify([null, true, -1n])).toBe("[null,true,-1]");
  });
});

test("keys and values go out as they are", () => {
  const kvs = [KeyValue.create({ key: "\xff\xfe", value: Uint8Array.of(0, 10, 200) })];
  const answer = rangeAnswer(RangeResponse.create({ kvs }), { hex: false, valueOnly: false });
  const bytes = [0xff, 0xfe, 10, 0, 10, 200, 10];
  expect([...formatAnswer(answer, "simple")]).toEqual(bytes);
  const hex = rangeAnswer(RangeResponse.create({ kvs }), { hex: true, valueOnly: true });
  expect(Buffer.from(formatAnswer(hex, "simple")).toString()).toBe("\\x00\\x0a\\xc8\n");
});

test("a table", () => {
  const table = { header: ["a_b", "long name", "x"], rows: [["1", "2", "µs"]] };
  expect(renderTable(table)).toBe(
    [
      "┌─────┬───────────┬────┐",
      "│ A B │ LONG NAME │ X  │",
      "├─────┼───────────┼────┤",
      "│   1 │         2 │ µs │",
      "└─────┴───────────┴────┘",
      "",
    ].join("\n"),
  );
});

test("the columns of endpoint status", () => {
  const status = StatusResponse.create({
    header: ResponseHeader.create({ memberId: 0xabcn }),
    version: "3.7.1",
    storageVersion: "3.7.0",
    dbSize: 20_480,
    dbSizeInUse: 16_384,
    dbSizeQuota: 2_147_483_648,
    leader: 0xabcn,
    raftTerm: 2,
    raftIndex: 14,
    raftAppliedIndex: 13,
    errors: ["etcdserver: no leader", "b"],
    downgradeInfo: { enabled: true, targetVersion: "3.6" },
  });
  const answer = statusAnswer([{ endpoint: "h:1", status }], { hex: false });
  expect(Buffer.from(formatAnswer(answer, "simple")).toString()).toBe(
    "h:1, abc, 3.7.1, 3.7.0, 20 kB, 16 kB, 20%, 2.1 GB, true, false, 2, 14, 13, " +
      "etcdserver: no leader, b, 3.6, true\n",
  );
});

describe("settings", () => {
  const resolve = (line: string, environment: Record<string, string> = {}) => {
    const { values } = environmentFlags(environment);
    return resolveGlobals(parseArguments(line.split(" ").filter(Boolean), GLOBAL_ARGS, values));
  };

  test("a flag wins over our variable, which wins over etcdctl's", () => {
    const both = { ETCDCTL_ENDPOINTS: "a:1", AETHERCTL_ENDPOINTS: "b:1", ETCDCTL_API: "3" };
    expect(resolve("", { ETCDCTL_ENDPOINTS: "a:1,c:1" }).endpoints).toEqual(["a:1", "c:1"]);
    expect(resolve("", both).endpoints).toEqual(["b:1"]);
    expect(resolve("--endpoints=d:1 --endpoints=e:1,f:1", both).endpoints).toEqual([
      "d:1",
      "e:1",
      "f:1",
    ]);
    expect(resolve("").endpoints).toEqual(["127.0.0.1:2379"]);
  });

  test("a variable that means nothing is told", () => {
    const environment = { ETCDCTL_ENDPONTS: "a:1", ETCDCTL_WATCH_KEY: "k", AETHER_ADDR: "x" };
    expect(environmentFlags(environment).unknown).toEqual(["ETCDCTL_ENDPONTS"]);
  });

  test("who asks", () => {
    const who = (line: string, environment = {}): unknown => {
      const { user } = resolve(line, environment);
      return user && [user.name, user.password?.reveal()];
    };
    expect(who("--user root:a:b")).toEqual(["root", "a:b"]);
    expect(who("--user root")).toEqual(["root", undefined]);
    expect(who("--user root:x --password p")).toEqual(["root:x", "p"]);
    expect(who("--user root", { AETHERCTL_PASSWORD: "e" })).toEqual(["root", "e"]);
    expect(resolve("").user).toBeUndefined();
  });

  test("a password from a file is its first line", () => {
    const directory = mkdtempSync(join(tmpdir(), "aether-password-"));
    const file = join(directory, "password");
    const given = (line: string): string | undefined => resolve(line).user?.password?.reveal();
    writeFileSync(file, "pass word\r\nand a note\n");
    expect(given(`--user root --password-file ${file}`)).toBe("pass word");
    expect(() => given(`--user root --password-file ${file} --password p`)).toThrow("give one");
    writeFileSync(file, "\n");
    expect(() => given(`--user root --password-file ${file}`)).toThrow("has no first line");
    rmSync(directory, { recursive: true });
    expect(() => given(`--user root --password-file ${file}`)).toThrow("no such file");
  });

  test("TLS", () => {
    expect(resolve("").tls).toBeUndefined();
    expect(resolve("--insecure-transport=false").tls).toEqual({});
    const skipping = resolve("--insecure-skip-tls-verify --endpoints=a:1,https://b:1");
    expect(skipping.tls).toEqual({ insecureSkipVerify: true });
    expect(skipping.endpoints).toEqual(["a:1", "https://b:1"]);
    const directory = mkdtempSync(join(tmpdir(), "aether-cacert-"));
    const ca = resolve(`--cacert ${makeAuthority(directory).ca}`);
    rmSync(directory, { recursive: true });
    expect(ca.tls?.ca).toContain("BEGIN CERTIFICATE");
    expect(ca.endpoints).toEqual(["127.0.0.1:2379"]);
    expect(() => resolve("--cacert /nowhere/ca.pem")).toThrow("open /nowhere/ca.pem: no such");
    expect(() => resolve(`--cert ${import.meta.path}`)).toThrow("KeyFile and CertFile must both");
    expect(() => resolve("--cert=")).toThrow("empty string is passed to --cert option");
  });

  test("wrong ones", () => {
    expect(() => resolve("--dial-timeout=5")).toThrow('"--dial-timeout" flag');
    expect(() => resolve("--keepalive-time=x")).toThrow('"--keepalive-time" flag');
    expect(() => resolve("-w xml")).toThrow("unsupported output format");
  });

  test("endpoints from DNS", async () => {
    const asked: string[] = [];
    const found = await discoverEndpoints(
      { domain: "example.org", name: "a", insecure: true },
      (name) => {
        asked.push(name);
        const missing = name.includes("-ssl");
        return missing
          ? Promise.reject(new Error("no"))
          : Promise.resolve([{ name: "h", port: 1 }]);
      },
    );
    expect(found).toEqual(["http://h:1"]);
    expect(asked).toEqual([
      "_etcd-client-ssl-a._tcp.example.org",
      "_etcd-client-a._tcp.example.org",
    ]);
    const secureOnly = { domain: "example.org", name: "", insecure: false };
    const refused = discoverEndpoints(secureOnly, () => Promise.reject(new Error("NXDOMAIN")));
    await expect(refused).rejects.toThrow("no endpoints discovered in example.org: NXDOMAIN");
  });
});

describe("help", () => {
  test("every command and group has some, without colours when nobody looks", async () => {
    for (const { name } of COMMANDS) {
      const { stdout, status } = await runFake([...name.split(" "), "--help"]);
      expect(status).toBe(0);
      const text = stdout.toString();
      expect(text).toContain(`aether ctl ${name}`);
      expect(text).toContain("EXAMPLES");
      expect(text).not.toContain("\x1b");
    }
    for (const words of [[], ["--help"], ["lease"], ["help"], ["help", "lease"], ["options"]]) {
      const { stdout, status } = await runFake(words);
      expect([words, status]).toEqual([words, 0]);
      expect(stdout.toString()).toContain("USAGE");
    }
  });

  test("it asks nobody", async () => {
    const outcome = await runFake(["get", "--help", "--endpoints=nowhere"]);
    expect(outcome.stderr).toBe("");
  });
});

test("the hints of a node name an endpoint only when it is not the default", () => {
  const started = { metricsAddress: "0.0.0.0:9090", dataDir: "data" };
  const usual = hints({ ...started, clientAddress: "127.0.0.1:2379" }, "aether");
  expect(usual).toContain("\n  aether ctl put greeting hello\n");
  expect(usual).toContain("http://127.0.0.1:9090/metrics");
  const other = hints({ ...started, clientAddress: "0.0.0.0:5000" }, "aether");
  expect(other).toContain("\n  aether ctl --endpoints=127.0.0.1:5000 get greeting\n");
  const everywhere = hints({ ...started, clientAddress: "0.0.0.0:2379" }, "aether");
  expect(everywhere).toContain("\n  aether ctl get greeting\n");
});
