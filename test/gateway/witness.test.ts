/**
 * The same requests to our gateway and to that of the real etcd of our version: equal statuses,
 * equal JSON key for key, equal fields of heads. Ids, terms and sizes are not compared.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { typesByPath } from "../../src/gateway/json/paths.ts";
import { startWitness, witness } from "../support/etcd-witness.ts";
import { type ServerProcess, startAether } from "../support/processes.ts";
import { PAGES, STEPS, type Step } from "./steps.ts";

/** Members of messages that differ between two servers that do the same. */
const VOLATILE = new Set(
  (
    "cluster_id member_id raft_term memberID leader raftIndex raftTerm raftAppliedIndex hash " +
    "dbSize dbSizeInUse dbSizeQuota token peerURLs clientURLs name blob password"
  ).split(" "),
);

/** By etcd's rules everybody may ask; in its own words Aether lets in nobody unasked. */
const OPEN = ["--http-cors=*", "--http-allowed-hosts=*"];

/** Fields of heads that are compared. */
const FIELDS = [
  ...["content-type", "grpc-metadata-content-type", "www-authenticate", "allow", "location"],
  ...["x-content-type-options", "access-control-allow-origin", "access-control-allow-methods"],
  ...["access-control-allow-headers"],
];

function normalised(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(normalised);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, inner]) => {
    const isId = name === "ID" && String(inner).length > 5;
    return [name, VOLATILE.has(name) || isId ? "*" : normalised(inner)] as const;
  });
  return Object.fromEntries(entries);
}

interface Answer {
  readonly status: number;
  readonly fields: Readonly<Record<string, string | null>>;
  readonly lines: unknown[];
}

/** A server, and the token that it gave last. */
class Side {
  readonly #endpoint: string;
  #token = "";

  constructor(server: ServerProcess) {
    this.#endpoint = `http://${server.endpoint}`;
  }

  async ask({ path, body, headers = {}, ownText, lines }: Step): Promise<Answer> {
    const given = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [
        name,
        value === "token" ? this.#token : value,
      ]),
    );
    const gone = new AbortController();
    const { signal } = gone;
    const method = "POST";
    const response = await fetch(this.#endpoint + path, { method, body, headers: given, signal });
    const texts =
      lines === undefined ? linesOf(await response.text()) : await first(response, lines);
    gone.abort();
    const parsed = texts.map((text) => JSON.parse(text.replace(RESET_BY_DEADLINE, DEADLINE)));
    if (typeof parsed[0]?.token === "string") this.#token = parsed[0].token;
    if (ownText) for (const line of parsed) line.message = "*";
    return { status: response.status, fields: fieldsOf(response), lines: parsed.map(normalised) };
  }

  async page(asked: string): Promise<Answer> {
    const [method = "GET", path = asked] = asked.includes(" ") ? asked.split(" ") : [];
    const url = this.#endpoint + path;
    // curl, since fetch cleans paths.
    const more = method === "HEAD" ? ["-I"] : ["-i", "-X", method];
    const curl = Bun.spawn(["curl", "-s", "--path-as-is", "--max-time", "10", ...more, url]);
    const text = await new Response(curl.stdout).text();
    const [head = "", body = ""] = text.split("\r\n\r\n");
    const [line = "", ...rest] = head.split("\r\n");
    const headers = new Headers(rest.map((each) => splitField(each)));
    const sorted = path.includes("verbose") ? body.split("\n").sort() : [body];
    const isJson = headers.get("content-type") === "application/json" && body !== "";
    const lines = isJson ? [JSON.parse(body)] : sorted;
    return { status: Number(line.split(" ")[1]), fields: fieldsOf({ headers }), lines };
  }
}

/** What etcd's gateway says of a deadline when it hears of the reset first. */
const RESET_BY_DEADLINE = "stream terminated by RST_STREAM with error code: CANCEL";
const DEADLINE = "context deadline exceeded";

function splitField(line: string): [string, string] {
  const at = line.indexOf(":");
  return [line.slice(0, at), line.slice(at + 1).trim()];
}

function fieldsOf({ headers }: { headers: Headers }): Record<string, string | null> {
  return Object.fromEntries(FIELDS.map((name) => [name, headers.get(name)]));
}

function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

/** The first lines of an answer that does not end. */
async function first(response: Response, count: number): Promise<string[]> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const piece of response.body as ReadableStream<Uint8Array>) {
    text += decoder.decode(piece, { stream: true });
    const lines = text.split("\n");
    if (lines.length > count) return lines.slice(0, count);
  }
  return linesOf(text);
}

describe.skipIf(witness === undefined)("beside etcd", () => {
  let servers: ServerProcess[] = [];
  let aether: Side;
  let etcd: Side;
  beforeAll(async () => {
    servers = await Promise.all([startAether({ args: OPEN }), startWitness()]);
    [aether, etcd] = servers.map((server) => new Side(server)) as [Side, Side];
  });
  afterAll(async () => {
    for (const server of servers) await server[Symbol.asyncDispose]();
  });

  for (const [name, steps] of Object.entries(STEPS)) {
    describe(name, () => {
      for (const [place, step] of steps.entries()) {
        test(`${place} ${step.path} ${step.body}`, async () => {
          const [ours, theirs] = await Promise.all([aether.ask(step), etcd.ask(step)]);
          expect(ours).toEqual(theirs);
        });
      }
    });
  }

  test.each([...PAGES])("%s", async (page) => {
    expect(await aether.page(page)).toEqual(await etcd.page(page));
  });

  test("health while there is no room", async () => {
    const alarm = (action: string): Step => ({
      path: "/v3/maintenance/alarm",
      body: JSON.stringify({ action, alarm: "NOSPACE", memberID: "1" }),
    });
    for (const action of ["ACTIVATE", "DEACTIVATE"]) {
      for (const side of [aether, etcd]) await side.ask(alarm(action));
      for (const page of [
        "/health",
        "/health?exclude=NOSPACE",
        "/readyz",
        "/livez",
        "HEAD /health",
      ]) {
        const ours = await aether.page(page);
        expect(ours).toEqual(await etcd.page(page));
        if (page === "/health") expect(ours.status).toBe(action === "ACTIVATE" ? 503 : 200);
      }
    }
  });

  test("a snapshot ends with the version, and its blobs are whole", async () => {
    const step = { path: "/v3/maintenance/snapshot", body: "" };
    for (const side of [aether, etcd]) {
      const { status, lines } = await side.ask(step);
      expect(status).toBe(200);
      const last = lines.at(-1) as { result: Record<string, string> };
      expect(Object.keys(last.result).sort()).toEqual(["blob", "version"]);
    }
  });

  test("every path was asked", () => {
    const asked = new Set(Object.values(STEPS).flatMap((steps) => steps.map(({ path }) => path)));
    asked.add("/v3/maintenance/snapshot");
    expect([...typesByPath().keys()].filter((path) => !asked.has(path))).toEqual([]);
  });
});
