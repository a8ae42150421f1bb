/** Web tokens: by every method of etcd, forged in every way that is known, and voided. */
import { beforeEach, describe, expect, test } from "bun:test";
import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { JwtTokens } from "../../src/rpc/jwt.ts";
import { jwtKeyOf, type KeyFiles } from "../../src/rpc/jwt-keys.ts";
import { type AuthStore, SIGNING_KEY_BYTES } from "../../src/state/auth/auth-store.ts";
import { FakeClock } from "../node/driven-group.ts";
import { addUser, storeOf } from "./auth-stores.ts";
import { loggingTo } from "./harness.ts";

const TTL_MS = 600_000;

interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

type Keys = Omit<KeyFiles, "method">;

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = (namedCurve: string): Pair => generateKeyPairSync("ec", { namedCurve });
const p256 = ec("prime256v1");
const secret = Buffer.from("known to the members, and to nobody else at all");
const shared: Keys = { publicKey: undefined, privateKey: secret };

const pem = ({ publicKey, privateKey }: Pair): { publicKey: Buffer; privateKey: Buffer } => ({
  publicKey: Buffer.from(publicKey.export({ type: "spki", format: "pem" })),
  privateKey: Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" })),
});

const KEYS: readonly (readonly [string, Keys])[] = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map(
    (each) => [each, pem(rsa)] as const,
  ),
  ["ES256", pem(p256)],
  ["ES384", pem(ec("secp384r1"))],
  ["ES512", pem(ec("secp521r1"))],
  ...["HS256", "HS384", "HS512"].map((each) => [each, shared] as const),
  ["EdDSA", pem(generateKeyPairSync("ed25519"))],
];

const logged: string[] = [];
let clock = new FakeClock();
let store: AuthStore = storeOf();
beforeEach(() => {
  logged.length = 0;
  clock = new FakeClock();
  store = storeOf("root", "ü", "u"); // the last one's tokens count from revision 4 on
});

function tokens(method: string, keys: Partial<Keys>, rules: "etcd" | "own" = "etcd"): JwtTokens {
  const key = jwtKeyOf({ method, publicKey: undefined, privateKey: undefined, ...keys });
  return new JwtTokens({ key, ttlMs: TTL_MS, rules }, clock, loggingTo(logged));
}

async function userOf(known: JwtTokens, token: string): Promise<string | undefined> {
  await known.prove(token, store);
  return known.callerOf(token, store, {})?.user;
}

const given = (user: string, authRevision = store.revision) => ({
  ...{ user, authRevision },
  token: "",
  index: 77,
});

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token with any head and claims, signed with the shared secret. */
function forged(head: unknown, claims: unknown, key: string | Buffer = secret): string {
  const data = `${part(head)}.${part(claims)}`;
  return `${data}.${createHmac("sha256", key).update(data).digest("base64url")}`;
}

const HEAD = { alg: "HS256", typ: "JWT" };
const claimed = (more: object = {}): object => ({ username: "u", revision: 4, exp: 1e9, ...more });

describe("web tokens", () => {
  for (const [method, keys] of KEYS) {
    test(`${method}: signed by one member, known to all, until they end`, async () => {
      const token = await tokens(method, keys).issue(given("ü"), store);
      const other = tokens(method, {
        ...keys,
        ...(method[0] === "H" ? {} : { privateKey: undefined }),
      });
      expect(other.callerOf(token, store, {})).toBeUndefined(); // until it is proved
      await other.prove(token, store);
      expect(other.prove(token, store)).toBeUndefined();
      expect(other.callerOf(token, store, {})).toEqual({ user: "ü", authRevision: 4 });
      const [head = "", claims = "", signature = ""] = token.split(".");
      const turn = signature[8] === "A" ? "B" : "A";
      const turned = `${signature.slice(0, 8)}${turn}${signature.slice(9)}`;
      expect(await userOf(other, `${head}.${claims}.${turned}`)).toBeUndefined();
      expect(await userOf(other, `${head}.${claims}`)).toBeUndefined();
      clock.nowMs += TTL_MS - 1000;
      expect(await userOf(other, token)).toBe("ü");
      clock.nowMs += 2000;
      expect(await userOf(other, token)).toBeUndefined();
      expect(logged).toEqual([]);
    });
  }

  test("say what etcd's say; ours say of which entry they are, too", async () => {
    const read = (text = ""): unknown => JSON.parse(Buffer.from(text, "base64url").toString());
    const exp = Math.floor((clock.nowMs + TTL_MS) / 1000);
    const says = { username: "u", revision: 4, exp };
    const [head, claims] = (await tokens("HS256", shared).issue(given("u"), store)).split(".");
    expect([read(head), read(claims)]).toEqual([HEAD, says]);
    const own = tokens("HS256", shared, "own");
    const token = await own.issue(given("u"), store);
    expect(read(token.split(".")[1])).toEqual({ ...says, index: 77 });
    expect(own.indexOf(token)).toBeUndefined();
    await own.prove(token, store);
    expect(own.indexOf(token)).toBe(77);
  });

  test("need keys that fit", () => {
    expect(() => tokens("", {})).toThrow("missing");
    for (const method of ["none", "None", "toString", "hs256"]) {
      expect(() => tokens(method, shared)).toThrow("unknown");
    }
    expect(() => tokens("RS256", {})).toThrow("neither");
    expect(() => tokens("HS256", {})).toThrow("missing");
    expect(() => tokens("RS256", pem(p256))).toThrow("type ec");
    expect(() => tokens("ES384", pem(p256))).toThrow("curve");
    const weak = pem(generateKeyPairSync("rsa", { modulusLength: 1024 }));
    expect(() => tokens("RS256", weak)).toThrow("2048 bits");
    const { privateKey } = pem(generateKeyPairSync("rsa", { modulusLength: 2048 }));
    expect(() => tokens("RS256", { ...pem(rsa), privateKey })).toThrow("belong together");
  });

  test("are not signed where only the public key is known", async () => {
    const { publicKey } = pem(rsa);
    const member = tokens("RS256", { publicKey });
    await expect(member.issue(given("u"), store)).rejects.toThrow("token_not_signed");
  });
});

describe("a forged token is nobody's:", () => {
  const good = claimed();
  const huge = "x".repeat(10_000);
  const FORGED: readonly (readonly [string, string])[] = [
    ["signed with another key", forged(HEAD, good, "another key, of as many bytes as it takes")],
    ["signed with an empty key", forged(HEAD, good, "")],
    ["of no method (RFC 8725 §3.1)", `${part({ alg: "none" })}.${part(good)}.`],
    ["of no method, signed", forged({ alg: "none" }, good)],
    ["of NoNe", forged({ alg: "nOnE" }, good)],
    ["of a method that is no text", forged({ alg: ["HS256"] }, good)],
    ["without a method", forged({ typ: "JWT" }, good)],
    ["of another method of the same key", forged({ alg: "HS384" }, good)],
    ["with an extension (RFC 7515 §4.1.11)", forged({ ...HEAD, crit: ["exp"], exp: 1 }, good)],
    ["with b64", forged({ ...HEAD, crit: ["b64"], b64: true }, good)],
    ["with an empty crit", forged({ ...HEAD, crit: [] }, good)],
    ["with a key of its own", forged({ ...HEAD, jwk: { kty: "oct", k: "YQ" } }, good, "a")],
    ["without an end", forged(HEAD, { username: "u", revision: 4 })],
    ["that has ended", forged(HEAD, claimed({ exp: 1 }))],
    ["with an end that is text", forged(HEAD, claimed({ exp: "soon" }))],
    ["with an end that is nothing", forged(HEAD, claimed({ exp: null }))],
    ["of the future", forged(HEAD, claimed({ nbf: 1e9 }))],
    ["without a revision", forged(HEAD, { username: "u", exp: 1e9 })],
    ["with a negative revision", forged(HEAD, claimed({ revision: -1 }))],
    ["with a revision past all counting", forged(HEAD, claimed({ revision: 2 ** 53 }))],
    ["with a revision of text", forged(HEAD, claimed({ revision: "4" }))],
    ["of a revision before he was made", forged(HEAD, claimed({ revision: 3 }))],
    ["without a user", forged(HEAD, { revision: 4, exp: 1e9 })],
    ["of a number", forged(HEAD, claimed({ username: 1 }))],
    ["of two users", forged(HEAD, claimed({ username: ["u", "root"] }))],
    ["of nobody we know", forged(HEAD, claimed({ username: "who" }))],
    ["of the empty name", forged(HEAD, claimed({ username: "" }))],
    ["of a proto", forged(HEAD, claimed({ username: "__proto__" }))],
    ["without claims (etcd issue 15676)", forged(HEAD, {})],
    ["whose claims are a list", forged(HEAD, [good])],
    ["whose claims are nothing", forged(HEAD, null)],
    ["whose head is nothing", forged(null, good)],
    ["with padding", `${forged(HEAD, good)}=`],
    ["with more behind it", `${forged(HEAD, good)}!!`],
    ["with a space before it", ` ${forged(HEAD, good)}`],
    ["of four parts", `${forged(HEAD, good)}.a`],
    ["of five parts, as if encrypted", "a.b.c.d.e"],
    ["of nothing but dots", ".."],
    ["of no sense", "a.b.c"],
    ["too long", forged(HEAD, claimed({ more: huge }))],
    ["with a head too long", forged({ ...HEAD, kid: huge.slice(0, 2000) }, good)],
    ["a simple one", "abcdefghijklmnop.17"],
    ["empty", ""],
  ];

  for (const [how, token] of FORGED) {
    test(how, async () => {
      for (const rules of ["etcd", "own"] as const) {
        expect(await userOf(tokens("HS256", shared, rules), token)).toBeUndefined();
      }
      expect(logged).toEqual([]);
    });
  }

  test("signed with the public key as if it were a shared one", async () => {
    const { publicKey } = pem(rsa);
    for (const alg of ["HS256", "RS256"]) {
      const token = forged({ alg }, claimed(), publicKey);
      expect(await userOf(tokens("RS256", { publicKey }), token)).toBeUndefined();
    }
  });

  test("signed with the right key by another method than it is pinned to", async () => {
    const data = `${part({ alg: "RS256" })}.${part(claimed())}`;
    const signature = sign("sha256", Buffer.from(data), rsa.privateKey);
    const token = `${data}.${signature.toString("base64url")}`;
    expect(await userOf(tokens("RS256", pem(rsa)), token)).toBe("u");
    for (const method of ["RS512", "PS256"]) {
      expect(await userOf(tokens(method, pem(rsa)), token)).toBeUndefined();
    }
  });

  test("while the same with nothing wrong is somebody's", async () => {
    expect(await userOf(tokens("HS256", shared), forged(HEAD, good))).toBe("u");
    expect(await userOf(tokens("HS256", shared), forged(HEAD, claimed({ revision: 6.5 })))).toBe(
      "u",
    );
  });
});

describe("a token is void", () => {
  test("once its user has another password, is gone, or is another one of that name", async () => {
    const known = tokens("HS256", shared, "own");
    const token = await known.issue(given("u"), store);
    expect(await userOf(known, token)).toBe("u");
    store.addRole("r", []);
    expect(known.callerOf(token, store, {})).toEqual({ user: "u", authRevision: 5 });
    store.changePassword({ name: "ü", password: "", hashedPassword: "" }, []);
    expect(await userOf(known, token)).toBe("u");
    store.changePassword({ name: "u", password: "", hashedPassword: "" }, []);
    expect(await userOf(known, token)).toBeUndefined();
    const again = await known.issue(given("u"), store);
    expect(await userOf(known, again)).toBe("u");
    store.deleteUser("u", []);
    expect(await userOf(known, again)).toBeUndefined();
    addUser(store, "u");
    expect(await userOf(known, again)).toBeUndefined();
  });

  test("once auth was switched off, whatever came after", async () => {
    const known = tokens("HS256", shared, "own");
    store.grantRole("root", "root", []);
    store.enable([]);
    const token = await known.issue(given("u"), store);
    expect(await userOf(known, token)).toBe("u");
    store.disable([]);
    store.enable([]);
    expect(await userOf(known, token)).toBeUndefined();
  });
});

describe("a key that nobody has given", () => {
  const member = (): JwtTokens =>
    new JwtTokens({ key: undefined, ttlMs: TTL_MS, rules: "own" }, clock, loggingTo(logged));

  test("is drawn once, of as many bytes as it takes, and never again", () => {
    const first = member().drawKey(store);
    expect(first?.length).toBe(SIGNING_KEY_BYTES);
    expect(first).not.toEqual(member().drawKey(store));
    store.takeSigningKey(first ?? new Uint8Array(), []);
    expect(member().drawKey(store)).toBeUndefined();
    expect(tokens("HS256", shared).drawKey(storeOf())).toBeUndefined();
  });

  test("is waited for by a member that has not heard of it, for a while", async () => {
    const ahead = storeOf("root", "ü", "u");
    const drawn = member().drawKey(ahead) ?? new Uint8Array();
    ahead.takeSigningKey(drawn, []);
    const token = await member().issue({ ...given("u"), authRevision: 4 }, ahead);
    const behind = member();
    const proof = behind.prove(token, store);
    behind.tick();
    store.takeSigningKey(drawn, []);
    behind.onChange({ of: "key" });
    await proof;
    expect(behind.callerOf(token, store, {})?.user).toBe("u");
    const late = member();
    const vain = late.prove(token, storeOf("u"));
    clock.nowMs += 6000;
    late.tick();
    await vain;
    expect(late.callerOf(token, store, {})).toBeUndefined();
  });
});

describe("what was proved is remembered", () => {
  test("by streams as long as they live, by others within bounds", async () => {
    const known = tokens("HS256", shared);
    const token = await known.issue(given("u"), store);
    await known.prove(token, store);
    const stream = {};
    known.hold(token, stream);
    for (let i = 0; i < 10_001; i++) await known.prove(forged(HEAD, claimed({ i })), store);
    expect(known.callerOf(token, store, {})).toBeUndefined();
    expect(known.callerOf(token, store, stream)?.user).toBe("u");
    clock.nowMs += TTL_MS + 1000;
    expect(known.callerOf(token, store, stream)).toBeUndefined();
  });

  test("a token is proved once for all who show it, too many at once are refused", async () => {
    const known = tokens("HS256", shared);
    const token = forged(HEAD, claimed());
    expect(known.prove(token, store)).toBe(known.prove(token, store) as Promise<void>);
    const proofs = [];
    for (let i = 0; i < 999; i++) proofs.push(known.prove(forged(HEAD, claimed({ i })), store));
    expect(() => known.prove(forged(HEAD, claimed({ i: -1 })), store)).toThrow("too_many_requests");
    await Promise.all(proofs);
    expect(await userOf(known, forged(HEAD, claimed({ i: -1 })))).toBe("u");
  });
});
