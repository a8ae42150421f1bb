/** Files with secrets that everybody may use are told at the start, each once. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LogFields } from "../../src/base/ports.ts";
import { silentLog } from "../../src/observe/log.ts";
import { loadConfig } from "../../src/server/config/config.ts";
import { warnOfOpenSecrets } from "../../src/server/exposed-files.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-exposed-"));
afterAll(() => rmSync(directory, { recursive: true }));

const names = ["aether.toml", "jwt.pem", "key.pem", "caller.pem", "cert.pem"] as const;
const [toml, signing, key, caller, cert] = names.map((name) => {
  const path = join(directory, name);
  writeFileSync(path, "");
  return path;
}) as [string, string, string, string, string];

const text = `
[cluster]
secret = "known to the members"
`;

const flags = new Map([
  ["listen-peer-urls", "https://127.0.0.1:2380"],
  ["initial-advertise-peer-urls", "https://127.0.0.1:2380"],
  ["peer-cert-file", cert],
  ["peer-key-file", key],
  ["peer-trusted-ca-file", cert],
  ["peer-client-cert-file", cert],
  ["peer-client-key-file", caller],
  ["auth-token", `jwt,pub-key=${cert},priv-key=${signing},sign-method=RS256`],
]);

const config = loadConfig({ file: { name: toml, text }, environment: {}, flags });

/** What is warned of when the files have these modes. */
function warnedOf(mode: number): string[] {
  for (const path of [toml, signing, key, caller]) chmodSync(path, mode);
  const said: (LogFields | undefined)[] = [];
  warnOfOpenSecrets(config, { ...silentLog, warn: (_message, fields) => said.push(fields) });
  return said.flatMap((fields) => String(fields?.["files"]).split(", ")).sort();
}

test("keys and a configuration with secrets that everybody may read", () => {
  expect(warnedOf(0o644)).toEqual([toml, signing, key, caller].sort());
  expect(warnedOf(0o602)).toEqual([toml, signing, key, caller].sort());
});

test("what a group may read is the system's affair", () => {
  expect(warnedOf(0o640)).toEqual([]);
  expect(warnedOf(0o600)).toEqual([]);
});
