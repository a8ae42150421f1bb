/**
 * A TLS session that is taken up again was verified when it began: BoringSSL does not look at the
 * certificate's end once more (seen with 1.4.4 of Bun), so that we do.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAddress } from "../../src/net/address.ts";
import { listen } from "../../src/net/listener.ts";
import { Network } from "../../src/net/network.ts";
import { ToyConnection } from "../net/toy-connection.ts";
import { makeAuthority } from "../support/authority.ts";
import { until } from "../support/processes.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-resumption-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Long enough for two handshakes on a busy machine. */
const GOOD_MS = 2_500;

test("a resumed session of a certificate that has expired meanwhile is refused", async () => {
  const authority = makeAuthority(directory);
  const own = authority.server({ names: ["localhost"], addresses: ["127.0.0.1"] });
  const text = (path: string): string => readFileSync(path, "utf8");
  const files = { cert: text(own.cert), key: text(own.key), ca: text(authority.ca) };
  const tls = { ...files, clientCertRequired: true };
  const toy = (): ToyConnection => new ToyConnection();
  const listener = await listen(new Network(), {
    ...{ address: parseAddress("https://127.0.0.1:0"), tls: () => tls, http1: toy, http2: toy },
  });
  const port = listener.address.kind === "tcp" ? listener.address.port : 0;
  const end = new Date(Math.floor((Date.now() + GOOD_MS) / 1000) * 1000);
  const { cert, key } = authority.client({ cn: "short", until: end });
  const session = join(directory, "session");
  const echo = async (...words: string[]): Promise<string> => {
    const command = ["openssl", "s_client", "-connect", `127.0.0.1:${port}`, "-CAfile"];
    const rest = [authority.ca, "-ign_eof", "-alpn", "http/1.1", "-cert", cert, "-key", key];
    const client = Bun.spawn([...command, ...rest, "-tls1_2", ...words], {
      ...{ stdin: Buffer.from("quit"), stdout: "pipe", stderr: "ignore", timeout: 10_000 },
    });
    return await new Response(client.stdout).text();
  };
  expect(await echo("-sess_out", session)).toContain("quit");
  const resumed = await echo("-sess_in", session);
  expect(resumed).toContain("Reused, TLSv1.2");
  expect(resumed).toContain("quit");
  await until("it has expired", () => Date.now() > end.getTime());
  const late = await echo("-sess_in", session);
  expect(late).toContain("Reused, TLSv1.2");
  expect(late).not.toContain("quit");
  expect(listener.handshakes?.refusedCount).toBe(1);
  await listener.stop(0);
});
