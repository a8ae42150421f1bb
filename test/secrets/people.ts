/** What people do with users, passwords and tokens, by command and over HTTP, right and wrong. */
import { expect } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AETHER } from "../support/processes.ts";
import { runToEnd } from "../support/run.ts";
import type { Flows } from "./flows.ts";
import type { Planted } from "./planted.ts";

/** Users, roles and tokens, with the client's commands. */
export async function people(flows: Flows, planted: Planted, root: string): Promise<void> {
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
  const directory = mkdtempSync(join(tmpdir(), "aether-secrets-snapshot-"));
  const file = join(directory, "saved.db");
  await flows.ctl(["snapshot", "save", file, "--user", `alice:${changed}`], { fails });
  expect(existsSync(file)).toBe(false);
  await flows.ctl(["snapshot", "save", file, ...asRoot]);
  planted.hear("a saved snapshot", readFileSync(file));
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const status = await runToEnd([AETHER, "utl", "snapshot", "status", file, "-w", "json"]);
  planted.hear("a snapshot's status", status.stdout + status.stderr);
  rmSync(directory, { recursive: true });
}

/** The same over HTTP, and what is wrong in every way there. */
export async function browsers(flows: Flows, planted: Planted, root: string): Promise<void> {
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
