/** Passwords as etcd hashes them, and the words of --auth-token. */
import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Asker } from "../../src/rpc/login-queue.ts";
import { Passwords } from "../../src/rpc/passwords.ts";
import { NoTokens, SimpleTokens } from "../../src/rpc/tokens.ts";
import { tokensOf } from "../../src/server/auth-tokens.ts";
import { FakeClock } from "../node/driven-group.ts";
import { storeOf } from "./auth-stores.ts";
import { loggingTo } from "./harness.ts";

const always = (): boolean => true;
const asker: Asker = { user: "u", host: "h", isWanted: always };

describe("passwords", () => {
  /** Made by Go's golang.org/x/crypto/bcrypt, as etcd makes them. */
  const GO = [
    ["", "$2a$04$mGhrZqtELWQ4GM8A7I0xW.pb8wrY2/8Dzug8u7sgk.G988ZPikhAy"],
    ["pw", "$2a$04$Z9W3l3y9DVQxVtmOgB3yxe2I.wJk9IBF1zi9vJ9giYzXNx.91Z0YC"],
    ["a\0b", "$2a$04$.aQnQx6HIbWHPBKvbmcaler.VKULhSqIHLzU40j3Dc.WXSG/kJeiO"],
    ["x".repeat(72), "$2a$04$AXLFbKTEnJYn9dygWIKa1OtpbjJcfJaIhNlUZbXz.KngMTbRCRPhK"],
    ["grüße", "$2a$04$/omk76nP0FPrZP0rBUTF0.mAZRFHPnlTCVX3TmUnJAItNgqF39VKq"],
  ] as const;
  const passwords = new Passwords(4);

  for (const [password, hash] of GO) {
    test(`etcd's hash of ${password.length} characters is that of its password alone`, async () => {
      expect(await passwords.isOf(password, Buffer.from(hash), asker)).toBe(true);
      expect(await passwords.isOf(`${password.slice(0, 60)}!`, Buffer.from(hash), asker)).toBe(
        false,
      );
    });
  }

  test("longer ones are compared by their first 72 bytes, and not set", async () => {
    const [, , , [password, hash] = ["", ""]] = GO;
    expect(await passwords.isOf(`${password}beyond`, Buffer.from(hash), asker)).toBe(true);
    await expect(passwords.hash("x".repeat(73), always)).rejects.toThrow("password_too_long");
    await expect(passwords.hash("ü".repeat(37), always)).rejects.toThrow("password_too_long");
  });

  test("are hashed as etcd does, at the cost that was asked for, each time anew", async () => {
    const [one, other] = await Promise.all([
      passwords.hash("pw", always),
      passwords.hash("pw", always),
    ]);
    const texts = [one, other].map((each) => Buffer.from(each, "base64").toString());
    expect(texts[0]).toMatch(/^\$2a\$04\$/);
    expect(texts[0]).not.toBe(texts[1] as string);
    for (const text of texts)
      expect(await passwords.isOf("pw", Buffer.from(text), asker)).toBe(true);
  });

  test("without a hash, or with one that is none, are never right", async () => {
    const spare = "a".repeat(53); // sets bits behind the salt, which no salt has
    const bcrypt = ["$2a$04$short", ...["00", "04", "99"].map((cost) => `$2a$${cost}$${spare}`)];
    for (const hash of ["", "pw", ...bcrypt, "$argon2id$v=19$m=16,t=2,p=1$c2FsdA$aGFzaA"]) {
      for (const password of ["", "pw"]) {
        const other = { ...asker, host: password + hash }; // who fails often has to wait
        expect(await passwords.isOf(password, Buffer.from(hash), other)).toBe(false);
      }
    }
  });

  test("of nobody, or of who has none, take the work that a wrong one takes", async () => {
    const verify = spyOn(Bun.password, "verify");
    try {
      const asked = [undefined, new Uint8Array(0), Buffer.from("no hash"), Buffer.from(GO[1][1])];
      for (const [at, hash] of asked.entries()) {
        const other = { ...asker, host: `host ${at}` };
        expect(await passwords.isOf("no", hash, other)).toBe(false);
      }
      expect(verify).toHaveBeenCalledTimes(asked.length);
      for (const [, hash] of verify.mock.calls) expect(hash.slice(0, 7)).toBe("$2a$04$");
    } finally {
      verify.mockRestore();
    }
  });

  test("are not worked on for those who have gone", async () => {
    const narrow = new Passwords(4, 1);
    let asked = 0;
    const gone = (): boolean => {
      asked++;
      return false;
    };
    const first = narrow.hash("pw", always);
    const leaver = { ...asker, isWanted: gone };
    const others = [narrow.hash("pw", gone), narrow.isOf("no", Buffer.from(GO[1][1]), leaver)];
    const last = narrow.hash("pw", always);
    for (const ended of await Promise.allSettled(others)) {
      expect(ended).toMatchObject({ status: "rejected", reason: { code: "canceled" } });
    }
    expect(asked).toBe(2);
    expect(await first).not.toBe(await last);
  });
});

describe("--auth-token", () => {
  let directory = "";
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "auth-token-"));
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 });
    const spki = { type: "spki", format: "pem" } as const;
    writeFileSync(join(directory, "pub"), rsa.publicKey.export(spki));
    writeFileSync(join(directory, "weak"), weak.publicKey.export(spki));
    const pkcs1 = rsa.privateKey.export({ type: "pkcs1", format: "pem" }); // as openssl genrsa
    writeFileSync(join(directory, "priv"), pkcs1);
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  const clock = new FakeClock();
  const options = { tokenTtlSeconds: 300, own: undefined };
  const made = (token: string) => tokensOf({ token, ...options }, clock, loggingTo([]));

  test("knows etcd's words", async () => {
    expect(made("simple")).toBeInstanceOf(SimpleTokens);
    expect(made("simple,any=thing")).toBeInstanceOf(SimpleTokens);
    expect(made("")).toBeInstanceOf(NoTokens);
    const files = `pub-key=${directory}/pub,priv-key=${directory}/priv`;
    const jwt = made(`jwt,${files},sign-method=RS256,ttl=10m`);
    const store = storeOf("u");
    const given = await jwt.issue({ user: "u", token: "", authRevision: 3, index: 9 }, store);
    await jwt.prove(given, store);
    expect(jwt.callerOf(given, store, {})).toEqual({ user: "u", authRevision: 3 });
  });

  test("refuses others, and says nothing of what is in the files", () => {
    for (const [token, complaint] of [
      ["jot", "expected simple or jwt"],
      ["jwt", "sign-method is missing"],
      ["jwt,sign-method", "name=value"],
      ["jwt,sign-method=RS256,sign-method=RS256", "twice"],
      ["jwt,sign-method=RS256,ttl=soon", "duration"],
      [`jwt,sign-method=RS256,pub-key=${directory}/none`, "ENOENT"],
      [`jwt,sign-method=ES256,pub-key=${directory}/pub`, "type rsa"],
      [`jwt,sign-method=RS256,pub-key=${directory}/weak`, "2048 bits at least, not 1024"],
    ] as const) {
      expect(() => made(token)).toThrow(complaint);
    }
  });
});

test("no tokens at all are nobody's", async () => {
  const none = new NoTokens();
  expect(none.callerOf()).toBeUndefined();
  await expect(none.issue()).rejects.toThrow("auth_failed");
});
