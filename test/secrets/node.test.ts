/**
 * Secrets planted in every flow of a running node, right and wrong ones, and searched for in all
 * that it and its client say: log lines at the finest level, slow requests, log files, metrics,
 * /debug pages (heap snapshots excepted: they hold all memory by their nature), answers, refusals,
 * the process list, saved snapshots, and for passwords in the data directory too, where only hashes
 * may be.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeAuthority } from "../support/authority.ts";
import { type ServerOptions, type ServerProcess, startAether } from "../support/processes.ts";
import { runToEnd } from "../support/run.ts";
import { Flows } from "./flows.ts";
import { browsers, people } from "./people.ts";
import { Planted } from "./planted.ts";

const SLOW_MS = 60_000;

const directory = mkdtempSync(join(tmpdir(), "aether-secrets-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What operators look at. */
async function pages(flows: Flows, planted: Planted, server: ServerProcess): Promise<void> {
  const get = { method: "GET" };
  for (const path of ["/metrics", "/health", "/version", "/debug/vars"]) {
    await flows.post(path, "", get);
  }
  for (const page of ["", "cmdline", "heap", "profile?seconds=1", "goroutine", "nothing"]) {
    await flows.post(`/debug/pprof/${page}`, "", get);
  }
  if (server.metricsEndpoint !== "") {
    const response = await fetch(`http://${server.metricsEndpoint}/metrics`);
    planted.hear("the metrics' address", await response.text());
  }
  planted.hear("the process list", readFileSync(`/proc/${server.pid}/cmdline`));
}

/** All files below `path`. */
function filesBelow(path: string): string[] {
  const names = readdirSync(path, { recursive: true }) as string[];
  return names.map((name) => join(path, name)).filter((file) => statSync(file).isFile());
}

interface Case {
  readonly planted: Planted;
  readonly options: ServerOptions;
  readonly rootPassword: string;
  /** Auth is enabled from the beginning. */
  readonly hasRoot: boolean;
  readonly ca?: string;
  readonly logFile: string;
}

/** Tokens that every member has to know come through the log, and lie in it (as in etcd). */
function isExpected(disclosure: string): boolean {
  return disclosure.startsWith("the data") && disclosure.endsWith(": a token");
}

async function run({ planted, options, rootPassword, hasRoot, ca, logFile }: Case): Promise<void> {
  await using server = await startAether(options);
  const scheme = ca === undefined ? "http" : "https";
  const place = { endpoint: server.endpoint, scheme, ...(ca === undefined ? {} : { ca }) } as const;
  const flows = new Flows(place, planted);
  if (!hasRoot) {
    await flows.ctl(["user", "add", `root:${rootPassword}`]);
    await flows.ctl(["auth", "enable"]);
  }
  await people(flows, planted, rootPassword);
  await browsers(flows, planted, rootPassword);
  await pages(flows, planted, server);
  const hearData = (): void => {
    for (const file of filesBelow(server.dataDir)) planted.hear("the data", readFileSync(file));
  };
  hearData();
  await server.stop();
  hearData();
  planted.hear("the log", server.log);
  planted.hear("the log's file", readFileSync(logFile));
  expect(readFileSync(logFile, "utf8")).toMatch(/request took too long.*authenticat/s);
  expect(planted.disclosures().filter((each) => !isExpected(each))).toEqual([]);
}

/** Everything is slow, every line is written. */
function chatty(logFile: string): string[] {
  return [
    ...["--log-level", "trace", "--enable-pprof", "--log-outputs", `stdout,${logFile}`],
    ...["--warning-apply-duration", "1ns", "--warning-unary-request-duration", "1ns"],
  ];
}

test(
  "in Aether's words: auth from the beginning, tokens that are signed, a cluster's secret",
  async () => {
    const planted = new Planted();
    const rootPassword = planted.draw("root's password");
    const logFile = join(directory, "own.log");
    const env = {
      AETHER_AUTH_ENABLED: "true",
      AETHER_AUTH_ROOT_PASSWORD: rootPassword,
      AETHER_AUTH_SIGNING_KEY: `${planted.draw("the signing key")}${planted.draw("its end")}`,
      AETHER_CLUSTER_SECRET: planted.draw("the cluster's secret"),
    };
    const options = { args: chatty(logFile), env };
    await run({ planted, options, rootPassword, hasRoot: true, logFile });
  },
  SLOW_MS,
);

test(
  "in etcd's words: auth enabled later, simple tokens",
  async () => {
    const planted = new Planted();
    const logFile = join(directory, "simple.log");
    const options = { args: [...chatty(logFile), "--auth-token", "simple"] };
    const rootPassword = planted.draw("root's password");
    await run({ planted, options, rootPassword, hasRoot: false, logFile });
  },
  SLOW_MS,
);

test(
  "in etcd's words, over TLS: tokens signed with a key from a file",
  async () => {
    const planted = new Planted();
    const authority = makeAuthority(directory);
    const { cert, key } = authority.server({ names: ["localhost"], addresses: ["127.0.0.1"] });
    const priv = join(directory, "jwt.pem");
    const made = await runToEnd(["openssl", "genrsa", "-out", priv, "2048"]);
    expect(made.status).toBe(0);
    const pub = join(directory, "jwt-public.pem");
    await runToEnd(["openssl", "rsa", "-in", priv, "-pubout", "-out", pub]);
    for (const [name, file] of [
      ["TLS", key],
      ["JWT", priv],
    ] as const) {
      for (const line of readFileSync(file, "utf8").split("\n").slice(1, -2)) {
        if (line.length > 40) planted.plant(`the ${name} key`, line);
      }
    }
    const logFile = join(directory, "tls.log");
    const token = `jwt,sign-method=RS256,pub-key=${pub},priv-key=${priv},ttl=5m`;
    const tls = ["--cert-file", cert, "--key-file", key];
    const options = { args: [...chatty(logFile), ...tls, "--auth-token", token] };
    const rootPassword = planted.draw("root's password");
    await run({ planted, options, rootPassword, hasRoot: false, ca: authority.ca, logFile });
  },
  SLOW_MS,
);
