/**
 * Secrets planted in every flow of a running node, right and wrong ones, and searched for in all
 * that it and its client say: log lines at the finest level, slow requests, log files, metrics,
 * /debug pages (heap snapshots excepted: they hold all memory by their nature), answers, refusals,
 * the process list, saved snapshots, and for passwords in the data directory too, where only hashes
 * may be.
 */
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeAuthority } from "../support/authority.ts";
import {
  AETHER,
  type ServerOptions,
  type ServerProcess,
  startAether,
} from "../support/processes.ts";
import { runToEnd } from "../support/run.ts";
import { Flows } from "./flows.ts";
import { Planted } from "./planted.ts";

const SLOW_MS = 60_000;

const directory = mkdtempSync(join(tmpdir(), "aether-secrets-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Users, roles and tokens, with the client's commands. */
async function people(flows: Flows, planted: Planted, root: string): Promise<void> {
  const asRoot = ["--user", "root", "--password", root];
  const alice = planted.draw("alice's password");
  const bob = planted.draw("bob's password");
  const changed = planted.draw("alice's new password");
  const wrong = planted.draw("a wrong password");
  const fails = true;
  await flows.ctl(["user", "add", `alice:${alice}`, ...asRoot]);
  await flows.ctl(["user", "add", `alice:${alice}`, ...asRoot], { fails });
  await flows.ctl(["user", "add", "bob", "--new-user-password", bob, ...asRoot, "-w", "json"]);
  await flows.ctl(["user", "add", `carol:${planted.draw("a long one").repeat(6)}`, ...asRoot], {
    fails,
  });
  await flows.ctl(["role", "add", "reader", ...asRoot]);
  await flows.ctl(["role", "grant-permission", "reader", "read", "a", "z", ...asRoot]);
  await flows.ctl(["user", "grant-role", "alice", "reader", ...asRoot]);
  await flows.ctl(["user", "passwd", "alice", "--interactive=false", ...asRoot], {
    input: `${changed}\n`,
  });
  await flows.ctl(["user", "get", "alice", "--detail", ...asRoot]);
  await flows.ctl(["user", "list", "-w", "json", `--user=root:${root}`, "--debug"]);
  await flows.ctl(["get", "a", "--user", `alice:${changed}`, "-w", "json"]);
  await flows.ctl(["get", "a", "--user", "alice", "--debug"], {
    env: { ETCDCTL_PASSWORD: changed },
  });
  await flows.ctl(["put", "a", "b", "--user", `alice:${changed}`], { fails });
  await flows.ctl(["get", "a", "--user", `alice:${alice}`], { fails });
  await flows.ctl(["get", "a", "--user", `nobody:${wrong}`, "--debug"], { fails });
  await flows.ctl(["get", "a", "--auth-jwt-token", wrong, "--debug"], { fails });
  await flows.ctl(["get", "a", "--auth-jwt-token", `${wrong}.3`], { fails });
  await flows.ctl(["get", "a", "--user", `alice:${wrong}`, "--no-such-flag"], { fails });
  await flows.ctl(["no-such-command", "a", "--password", wrong], { fails });
  await flows.ctl(["endpoint", "status", "-w", "json", ...asRoot]);
  await flows.ctl(["auth", "status", ...asRoot, "-w", "json"]);
  const file = join(directory, `${crypto.randomUUID()}.db`);
  await flows.ctl(["snapshot", "save", file, "--user", `alice:${changed}`], { fails });
  expect(existsSync(file)).toBe(false);
  await flows.ctl(["snapshot", "save", file, ...asRoot]);
  planted.hear("a saved snapshot", readFileSync(file));
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const status = await runToEnd([AETHER, "utl", "snapshot", "status", file, "-w", "json"]);
  planted.hear("a snapshot's status", status.stdout + status.stderr);
}

/** The same over HTTP, and what is wrong in every way there. */
async function browsers(flows: Flows, planted: Planted, root: string): Promise<void> {
  const wrong = planted.draw("a wrong password over HTTP");
  const authenticate = "/v3/auth/authenticate";
  const good = JSON.stringify({ name: "root", password: root });
  const answer = await flows.post(authenticate, good, { givesToken: true });
  const { token } = JSON.parse(answer) as { token: string };
  planted.plant("a token", token);
  const headers = { authorization: token };
  const alice = planted.draw("dora's password");
  await flows.post("/v3/auth/user/add", JSON.stringify({ name: "dora", password: alice }), {
    headers,
  });
  await flows.post("/v3/auth/user/changepw", `{"name":"dora","password":"${wrong}"`, { headers });
  for (const body of [
    { name: "root", password: wrong },
    { name: "root", password: [wrong] },
    { name: "root", password: { wrong } },
    { name: wrong, password: 5 },
    { name: "root", pasword: wrong },
    wrong,
    { name: "dora", password: wrong.repeat(8) },
  ]) {
    await flows.post(authenticate, JSON.stringify(body));
  }
  await flows.post(authenticate, `{"name":"root","password":"${wrong}`);
  await flows.post(authenticate, `{"name":"root","password":"${wrong}\\q"}`);
  await flows.post(authenticate, `password=${wrong}`);
  await flows.post(`${authenticate}?password=${wrong}`, "", { method: "GET" });
  await flows.post(`/v3/nothing?token=${wrong}`, "");
  await flows.post(`/health?password=${wrong}`, "", { method: "GET" });
  for (const authorization of [`Bearer ${wrong}`, wrong, `${token}x`, `Basic ${btoa(wrong)}`]) {
    await flows.post("/v3/kv/range", '{"key":"YQ=="}', { headers: { authorization } });
  }
  await flows.post("/v3/kv/range", '{"key":"YQ=="}', { headers });
  const watch = '{"create_request":{"key":"YQ=="}}';
  await flows.socket("/v3/watch", watch, { "sec-websocket-protocol": `Bearer, ${wrong}` });
  await flows.socket("/v3/watch", watch, { "sec-websocket-protocol": `Bearer, ${token}` });
  await flows.socket("/v3/kv/range", '{"key":"YQ=="}', { cookie: `token=${token}` });
  await flows.raw(`POST ${authenticate} HTTP/1.1\r\nhost: a\r\nauthorization: ${wrong}\r\nx y: z`);
  await flows.raw(`PUT /${wrong}\r\nauthorization: ${wrong}\r\n\r\n`);
  await flows.raw(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${wrong}`);
  const message = Buffer.from(`\x0a\x04root\x12\x7f${wrong}`); // a length beyond the end
  await flows.brokenCall(message);
  await flows.brokenCall(message, token);
  await flows.brokenCall(Buffer.from(`\x0a\x10\xff\xfe${wrong}`, "latin1"), wrong);
}

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
