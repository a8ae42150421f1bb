/**
 * The table of errors against the tests it names, against our own table, and against servers: each
 * error that can be provoked is, with the same code and text, of Aether and of etcd 3.7.1.
 */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { type ClientHttp2Session, connect } from "node:http2";
import { join } from "node:path";
import { encode, rpcOf } from "../differential/schema.ts";
import { openSide, type SideKind } from "../differential/servers.ts";
import { absence, witness } from "../support/etcd-witness.ts";
import { AETHER, requireExecutable } from "../support/processes.ts";
import { ERRORS } from "./errors.ts";

const ROOT = join(import.meta.dir, "../..");
const TEST_MS_MAX = 60_000;
const POINT = { revision: 1, compactRevision: -1 };

describe("the table of errors", () => {
  test("names a text once, and tests that exist and speak of it", () => {
    const texts = ERRORS.map(({ text }) => text);
    expect(texts.length).toBe(new Set(texts).size);
    const unshown = ERRORS.filter((row) => {
      if (!("test" in row)) return false;
      const path = join(ROOT, "test", row.test);
      if (!existsSync(path)) return true;
      const words = row.as ?? row.text.replace(/^etcdserver: /, "");
      return !readFileSync(path, "utf8").includes(words);
    });
    expect(unshown).toEqual([]);
  });

  test("has every text that we send", () => {
    const ours = readFileSync(join(ROOT, "src/rpc/errors.ts"), "utf8");
    const sent = [...ours.matchAll(/"(etcdserver: [^"]+)"/g)].map(([, text]) => text as string);
    const texts = ERRORS.map(({ text }) => text);
    expect(sent.length).toBeGreaterThan(50);
    expect(sent.filter((text) => !texts.includes(text))).toEqual([]);
  });
});

/** Plays all that can be provoked; what came is told by the text that was expected. */
async function provoke(kind: SideKind): Promise<Record<string, string>> {
  await using server = await openSide(kind);
  await server.side.open();
  const seen: Record<string, string> = {};
  for (const row of ERRORS) {
    if (!("steps" in row)) continue;
    const answers = [];
    for (const step of row.steps) answers.push((await server.side.send(step, POINT)).answer);
    const last = answers.pop();
    const failed = answers.find(({ code }) => code !== 0 && !row.text.includes("already exists"));
    seen[row.text] = failed === undefined ? `${last?.code} ${last?.text}` : `early ${failed.text}`;
  }
  return seen;
}

function expectedOf(kind: SideKind): Record<string, string> {
  const rows = ERRORS.filter((row) => "steps" in row);
  const said = rows.map(({ code, text, ours }) => {
    return [text, kind === "aether" && ours !== undefined ? ours : `${code} ${text}`] as const;
  });
  return Object.fromEntries(said);
}

/** A unary call by hand, for what no gRPC library sends: its status and text. */
async function callByHand(
  session: ClientHttp2Session,
  body: Buffer,
  more: Record<string, string>,
): Promise<string> {
  const { path } = rpcOf("KV/Range");
  const headers = { ":method": "POST", ":path": path, "content-type": "application/grpc" };
  const stream = session.request({ ...headers, te: "trailers", ...more });
  const frame = Buffer.alloc(5 + body.length);
  frame.writeUInt32BE(body.length, 1);
  body.copy(frame, 5);
  return await new Promise((resolve, reject) => {
    const tell = (fields: Record<string, unknown>): void => {
      if (fields["grpc-status"] === undefined) return;
      resolve(`${fields["grpc-status"]} ${fields["grpc-message"] ?? ""}`);
    };
    stream.on("response", tell);
    stream.on("trailers", tell);
    stream.on("error", reject);
    stream.resume();
    stream.end(frame);
  });
}

const TOO_LARGE = "8 grpc: received message larger than max";

function live(kind: SideKind): void {
  test(
    "refuses as the table says, code and text",
    async () => {
      if (kind === "aether") await requireExecutable(AETHER);
      expect(await provoke(kind)).toEqual(expectedOf(kind));
    },
    TEST_MS_MAX,
  );

  test(
    "leaves what is far too large to gRPC, and takes any client-api-version",
    async () => {
      await using server = await openSide(kind);
      const session = connect(`http://${server.server.endpoint}`);
      const ask = (version: string): Promise<string> => {
        const body = encode(rpcOf("KV/Range").request, { key: "a" });
        return callByHand(session, body, { "client-api-version": version });
      };
      expect(await ask("3.7")).toBe("0 ");
      expect(await ask("no version")).toBe("0 ");
      session.close();
      const value = "x".repeat(3_000_000);
      const call = { rpc: "KV/Put", bodies: [{ key: "a", value }] };
      const { code, text } = await server.side.client.call(call);
      expect(`${code} ${text}`).toStartWith(TOO_LARGE);
    },
    TEST_MS_MAX,
  );
}

if (witness === undefined) console.warn(`SKIPPED, errors of etcd 3.7: ${absence()}`);

describe("aether", () => live("aether"));
describe.skipIf(witness === undefined)("etcd 3.7", () => live("etcd-3.7"));
