/** Web tokens by every method, passwords as etcd hashes them, and the words of --auth-token. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHmac, generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type JwtSettings, JwtTokens } from "../../src/rpc/jwt.ts";
import { Passwords } from "../../src/rpc/passwords.ts";
import { NoTokens, SimpleTokens } from "../../src/rpc/tokens.ts";
import { tokensOf } from "../../src/server/auth-tokens.ts";
import { FakeClock } from "../node/driven-group.ts";

const TTL_MS = 600_000;

interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = (namedCurve: string): Pair => generateKeyPairSync("ec", { namedCurve });
const p256 = ec("prime256v1");
const ed = generateKeyPairSync("ed25519");
const secret = Buffer.from("known to the members");

const pem = ({ publicKey, privateKey }: Pair): Pick<JwtSettings, "publicKey" | "privateKey"> => ({
  publicKey: Buffer.from(publicKey.export({ type: "spki", format: "pem" })),
  privateKey: Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" })),
});

const shared = { publicKey: undefined, privateKey: secret };

const KEYS: readonly (readonly [string, Pick<JwtSettings, "publicKey" | "privateKey">])[] = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map(
    (each) => [each, pem(rsa)] as const,
  ),
  ["ES256", pem(p256)],
  ["ES384", pem(ec("secp384r1"))],
  ["ES512", pem(ec("secp521r1"))],
  ...["HS256", "HS384", "HS512"].map((each) => [each, shared] as const),
  ["EdDSA", pem(ed)],
];

function tokens(method: string, keys: Partial<JwtSettings>, clock = new FakeClock()): JwtTokens {
  const none = { publicKey: undefined, privateKey: undefined };
  return new JwtTokens({ method, ttlMs: TTL_MS, ...none, ...keys }, clock);
}

/** A token with any head and claims, signed with the shared secret. */
function forged(head: object, claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const data = `${part(head)}.${part(claims)}`;
  return `${data}.${createHmac("sha256", secret).update(data).digest("base64url")}`;
}

describe("web tokens", () => {
  for (const [method, keys] of KEYS) {
    test(`${method}: signed by one member, known to all, until they end`, () => {
      const clock = new FakeClock();
      const token = tokens(method, keys, clock).issue("ü", "", 7);
      const other = tokens(
        method,
        { ...keys, ...(method[0] === "H" ? {} : { privateKey: undefined }) },
        clock,
      );
      expect(other.callerOf(token)).toEqual({ user: "ü", authRevision: 7 });
      const [head = "", claims = "", signature = ""] = token.split(".");
      const turn = signature[8] === "A" ? "B" : "A";
      const turned = `${signature.slice(0, 8)}${turn}${signature.slice(9)}`;
      expect(other.callerOf(`${head}.${claims}.${turned}`)).toBeUndefined();
      expect(other.callerOf(`${head}.${claims}`)).toBeUndefined();
      clock.nowMs += TTL_MS - 1000;
      expect(other.callerOf(token)).toBeDefined();
      clock.nowMs += 2000;
      expect(other.callerOf(token)).toBeUndefined();
      other.tick();
    });
  }

  test("say what etcd's say", () => {
    const clock = new FakeClock();
    const [head = "", claims = ""] = tokens("HS256", shared, clock).issue("u", "", 7).split(".");
    const read = (part: string): unknown => JSON.parse(Buffer.from(part, "base64url").toString());
    expect(read(head)).toEqual({ alg: "HS256", typ: "JWT" });
    const exp = Math.floor((clock.nowMs + TTL_MS) / 1000);
    expect(read(claims)).toEqual({ username: "u", revision: 7, exp });
  });

  test("are nobody's if they are signed by another method, or claim too little", () => {
    const known = tokens("HS256", shared);
    const claims = { username: "u", revision: 7 };
    expect(known.callerOf(forged({ alg: "HS256" }, claims))?.user).toBe("u");
    expect(known.callerOf(forged({ alg: "HS384" }, claims))).toBeUndefined();
    expect(known.callerOf(forged({ alg: "none" }, claims))).toBeUndefined();
    expect(known.callerOf(forged({}, claims))).toBeUndefined();
    const without = [{ revision: 7 }, { username: "u" }, { ...claims, username: 1 }];
    for (const each of without)
      expect(known.callerOf(forged({ alg: "HS256" }, each))).toBeUndefined();
    const late = { ...claims, nbf: 1e9 };
    expect(known.callerOf(forged({ alg: "HS256" }, late))).toBeUndefined();
    expect(known.callerOf(forged({ alg: "HS256" }, { ...claims, exp: "soon" }))).toBeUndefined();
    expect(known.callerOf("a.b.c")).toBeUndefined();
    expect(known.callerOf("x".repeat(10_000))).toBeUndefined();
  });

  test("claim a revision that an auth store can have", () => {
    const known = tokens("HS256", shared);
    const of = (revision: number) =>
      known.callerOf(forged({ alg: "HS256" }, { username: "u", revision }))?.authRevision;
    for (const revision of [0, 1, 2 ** 53 - 1]) expect(of(revision)).toBe(revision);
    expect(of(6.5)).toBe(6);
    for (const revision of [-1, 2 ** 53, 2 ** 64, 1e300]) expect(of(revision)).toBeUndefined();
  });

  test("end with a signature in base64url and nothing else", () => {
    const known = tokens("HS256", shared);
    const token = forged({ alg: "HS256" }, { username: "u", revision: 7 });
    expect(known.callerOf(token)?.user).toBe("u");
    for (const more of ["=", "!!", " "]) expect(known.callerOf(token + more)).toBeUndefined();
  });

  test("a public key must not be taken for a shared secret", () => {
    const { publicKey } = pem(rsa);
    const member = tokens("RS256", { publicKey });
    const data = forged({ alg: "RS256" }, { username: "root", revision: 9 });
    expect(member.callerOf(data)).toBeUndefined();
    expect(() => member.issue("u", "", 1)).toThrow("token_not_signed");
  });

  test("need keys that fit", () => {
    expect(() => tokens("", {})).toThrow("missing");
    expect(() => tokens("none", {})).toThrow("unknown");
    expect(() => tokens("RS256", {})).toThrow("neither");
    expect(() => tokens("HS256", {})).toThrow("missing");
    expect(() => tokens("RS256", pem(p256))).toThrow("type ec");
    expect(() => tokens("ES384", pem(p256))).toThrow("curve");
    const mixed = {
      ...pem(rsa),
      privateKey: pem(generateKeyPairSync("rsa", { modulusLength: 2048 })).privateKey,
    };
    expect(() => tokens("RS256", mixed)).toThrow("belong together");
  });
});

const always = (): boolean => true;

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
      expect(await passwords.isOf(password, Buffer.from(hash), always)).toBe(true);
      expect(await passwords.isOf(`${password.slice(0, 60)}!`, Buffer.from(hash), always)).toBe(
        false,
      );
    });
  }

  test("longer ones are compared by their first 72 bytes, and not set", async () => {
    const [, , , [password, hash] = ["", ""]] = GO;
    expect(await passwords.isOf(`${password}beyond`, Buffer.from(hash), always)).toBe(true);
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
      expect(await passwords.isOf("pw", Buffer.from(text), always)).toBe(true);
  });

  test("without a hash, or with one that is none, are never right", async () => {
    const spare = "a".repeat(53); // sets bits behind the salt, which no salt has
    const bcrypt = ["$2a$04$short", ...["00", "04", "99"].map((cost) => `$2a$${cost}$${spare}`)];
    for (const hash of ["", "pw", ...bcrypt, "$argon2id$v=19$m=16,t=2,p=1$c2FsdA$aGFzaA"]) {
      expect(await passwords.isOf("", Buffer.from(hash), always)).toBe(false);
      expect(await passwords.isOf("pw", Buffer.from(hash), always)).toBe(false);
    }
  });

  test("wait for their turn, and too many are refused", async () => {
    const narrow = new Passwords(4, 1);
    const hashes = Array.from({ length: 5 }, () => narrow.hash("pw", always));
    expect(new Set(await Promise.all(hashes)).size).toBe(5);
    const many = Array.from({ length: 1002 }, () =>
      narrow.isOf("no", Buffer.from(GO[1][1]), always),
    );
    const ended = await Promise.allSettled(many);
    expect(ended.filter(({ status }) => status === "rejected").length).toBe(1);
  });

  test("are not worked on for those who have gone", async () => {
    const narrow = new Passwords(4, 1);
    let asked = 0;
    const gone = (): boolean => {
      asked++;
      return false;
    };
    const first = narrow.hash("pw", always);
    const others = [narrow.hash("pw", gone), narrow.isOf("no", Buffer.from(GO[1][1]), gone)];
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
    const { publicKey = "", privateKey = "" } = pem(rsa);
    writeFileSync(join(directory, "pub"), publicKey ?? "");
    writeFileSync(join(directory, "priv"), privateKey ?? "");
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  const clock = new FakeClock();
  const made = (token: string) => tokensOf({ token, tokenTtlSeconds: 300 }, clock);

  test("knows etcd's words", () => {
    expect(made("simple")).toBeInstanceOf(SimpleTokens);
    expect(made("simple,any=thing")).toBeInstanceOf(SimpleTokens);
    expect(made("")).toBeInstanceOf(NoTokens);
    const files = `pub-key=${directory}/pub,priv-key=${directory}/priv`;
    const jwt = made(`jwt,${files},sign-method=RS256,ttl=10m`);
    expect(jwt.callerOf(jwt.issue("u", "", 3), 3)).toEqual({ user: "u", authRevision: 3 });
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
    ] as const) {
      expect(() => made(token)).toThrow(complaint);
    }
  });
});

test("no tokens at all are nobody's", () => {
  const none = new NoTokens();
  expect(none.callerOf()).toBeUndefined();
  expect(() => none.issue()).toThrow("auth_failed");
});
