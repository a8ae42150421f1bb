/** Pages of other sites at the executable (reliability.md §4.2, DNS rebinding and CORS). */
import { expect, test } from "bun:test";
import { startAether } from "../support/processes.ts";

/** Status and body that curl is given. */
async function curl(url: string, ...args: string[]): Promise<{ status: string; text: string }> {
  const command = ["curl", "--silent", "--max-time", "5", "--write-out", "\n%{http_code}", ...args];
  const child = Bun.spawn([...command, url], { stdio: ["ignore", "pipe", "inherit"] });
  const lines = (await new Response(child.stdout).text()).split("\n");
  await child.exited;
  return { status: lines.pop() ?? "", text: lines.join("\n") };
}

const PUT = ["--data", '{"key":"YQ==","value":"Yg=="}'];
const REBOUND = ["--header", "Host: evil.example"];
const FOREIGN = ["--header", "Origin: http://evil.example"];

test("in Aether's own words they read nothing and write nothing", async () => {
  await using server = await startAether();
  const base = `http://${server.endpoint}`;
  const rebound = await curl(`${base}/v3/kv/put`, ...REBOUND, ...PUT);
  expect(rebound.status).toBe("421");
  expect(rebound.text).toContain("allowed_hosts");
  expect((await curl(`${base}/metrics`, ...REBOUND)).status).toBe("421");
  expect((await curl(`${base}/v3/kv/put`, ...FOREIGN, ...PUT)).status).toBe("403");
  expect((await curl(`${base}/v3/kv/put`, ...FOREIGN, "--request", "OPTIONS")).status).toBe("403");
  const read = await curl(`${base}/v3/kv/range`, "--data", '{"key":"YQ=="}');
  expect(read.status).toBe("200");
  expect(read.text).not.toContain("kvs");
  const metrics = await curl(`${base}/metrics`);
  expect(metrics.text).toContain("aether_http_strangers_refused_total 4");
});

test("they may where it is said that everybody may", async () => {
  await using server = await startAether({ args: ["--http-cors=*", "--http-allowed-hosts=*"] });
  const base = `http://${server.endpoint}`;
  expect((await curl(`${base}/v3/kv/put`, ...REBOUND, ...FOREIGN, ...PUT)).status).toBe("200");
});
