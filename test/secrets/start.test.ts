/**
 * What a node says that cannot start, or is told wrongly: the place of a secret and never the
 * secret, whatever is wrong with it or around it.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AETHER } from "../support/processes.ts";
import { runToEnd } from "../support/run.ts";
import { Planted } from "./planted.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-secret-start-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Case {
  readonly words?: (file: (text: string) => string, secret: string) => readonly string[];
  readonly env?: (secret: string) => Readonly<Record<string, string>>;
  readonly toml?: (secret: string) => string;
  /** In what it says. */
  readonly said: RegExp;
}

const KEY = "-----BEGIN PRIVATE KEY-----";

/** Each is a mistake that people make. */
const CASES: Readonly<Record<string, Case>> = {
  "a secret as a flag": {
    words: (_file, secret) => [`--cluster-secret=${secret}`],
    said: /unknown flag: --cluster-secret/,
  },
  "a secret after a flag": {
    words: (_file, secret) => ["--auth-signing-key", secret],
    said: /unknown flag: --auth-signing-key/,
  },
  "a variable of which the name is wrong": {
    env: (secret) => ({ AETHER_CLUSTER_SECRETS: secret }),
    said: /AETHER_CLUSTER_SECRETS/,
  },
  "a key that is too short": {
    env: (secret) => ({ AETHER_AUTH_SIGNING_KEY: secret }),
    said: /AETHER_AUTH_SIGNING_KEY/,
  },
  "a file whose string does not end": {
    toml: (secret) => `[cluster]\nsecret = "${secret}\n`,
    said: /aether\.toml:2/,
  },
  "a file with a secret twice": {
    toml: (secret) => `[cluster]\nsecret = "a"\nsecret = "${secret}"\n`,
    said: /aether\.toml:3/,
  },
  "a secret without quotes": {
    toml: (secret) => `[cluster]\nsecret = ${secret}\n`,
    said: /aether\.toml:2/,
  },
  "a secret that is a number": {
    toml: () => `[cluster]\nsecret = ${NUMBER}\n`,
    said: /cluster\.secret: expected a string/,
  },
  "a key whose name is wrong": {
    toml: (secret) => `[auth]\nsigning_kee = "${secret}"\n`,
    said: /auth\.signing_kee: unknown key/,
  },
  "a table in place of a secret": {
    toml: (secret) => `[auth]\nroot_password = { text = "${secret}" }\n`,
    said: /auth\.root_password: expected a string/,
  },
  "a key file that holds none": {
    words: (file, secret) => {
      const key = file(`${KEY}\n${secret}${secret}\n-----END PRIVATE KEY-----\n`);
      const url = "https://127.0.0.1:0";
      const urls = ["--listen-client-urls", url, "--advertise-client-urls", url];
      return ["--cert-file", key, "--key-file", key, ...urls];
    },
    said: /\.pem/,
  },
  "a signing key's file that holds none": {
    words: (file, secret) => {
      const key = file(`${KEY}\n${secret}${secret}\n-----END PRIVATE KEY-----\n`);
      return ["--auth-token", `jwt,sign-method=RS256,pub-key=${key},priv-key=${key}`];
    },
    said: /--auth-token/,
  },
  "a signing key in place of its file": {
    words: (_file, secret) => ["--auth-token", `jwt,sign-method=HS256,priv-key=/${secret}/=`],
    said: /--auth-token/,
  },
  "etcd's file, with a secret and broken": {
    words: (file, secret) => ["--config-file", file(`name: a\npassword: "${secret}\n`)],
    said: /\.pem/,
  },
};

/** As a number in TOML: nothing but digits. */
const NUMBER = 8_306_429_174_583_206;

let count = 0;

async function saidBy({ words, env, toml }: Case, secret: string): Promise<string> {
  const home = join(directory, `${++count}`);
  const file = (text: string): string => {
    const path = join(directory, `${++count}.pem`);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  };
  const config = join(directory, "aether.toml");
  writeFileSync(config, toml?.(secret) ?? "", { mode: 0o600 });
  const rest = toml === undefined ? [] : ["--config", config];
  const command = [AETHER, ...(words?.(file, secret) ?? []), ...rest];
  const own = command.includes("--config-file") ? [] : ["--data-dir", home];
  const ended = await runToEnd([...command, ...own], { env: env?.(secret) ?? {}, msMax: 10_000 });
  expect(ended.status).not.toBe(0);
  return ended.stdout + ended.stderr;
}

describe("a refusal names the place and not the secret:", () => {
  test.each(Object.entries(CASES))("%s", async (_name, each) => {
    const planted = new Planted();
    const secret = planted.draw("it");
    planted.plant("the number", String(NUMBER));
    const said = await saidBy(each, secret);
    expect(said).toMatch(each.said);
    planted.hear("what it said", said);
    expect(planted.disclosures()).toEqual([]);
  });
});
