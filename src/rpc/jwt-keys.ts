/**
 * Keys of web tokens: what each method of RFC 7518 needs of them, checked once when they are read,
 * so that a mistake is told when the server starts and not when somebody logs in. One key has one
 * method: a token that names another is nobody's (HS with an RS key, none).
 */
import type { KeyObject } from "node:crypto";
import { nodeCrypto } from "../base/builtin.ts";

type Family = "RS" | "PS" | "ES" | "HS" | "EdDSA";

/** etcd's methods, by their names in a token's head. */
const FAMILIES: Readonly<Record<string, Family>> = {
  ...{ RS256: "RS", RS384: "RS", RS512: "RS" },
  ...{ PS256: "PS", PS384: "PS", PS512: "PS" },
  ...{ ES256: "ES", ES384: "ES", ES512: "ES" },
  ...{ HS256: "HS", HS384: "HS", HS512: "HS" },
  EdDSA: "EdDSA",
};

const CURVES: Readonly<Record<string, string>> = {
  ES256: "prime256v1",
  ES384: "secp384r1",
  ES512: "secp521r1",
};

const KEY_TYPES: Readonly<Record<Exclude<Family, "HS">, string>> = {
  RS: "rsa",
  PS: "rsa",
  ES: "ec",
  EdDSA: "ed25519",
};

/** RFC 7518 §3.3 and §3.5 demand it of RSA keys. */
const RSA_BITS_MIN = 2048;

/** The method of tokens whose key is drawn by chance, or given as text. */
export const SHARED_METHOD = "HS256";

/** Keys as in their files: PEM, for HS bytes as they are. */
export interface KeyFiles {
  readonly method: string;
  readonly publicKey: Buffer | undefined;
  readonly privateKey: Buffer | undefined;
}

/** What tokens are verified by, and signed by unless this member can only verify. */
export interface JwtKey {
  readonly method: string;
  readonly verifying: KeyObject | Uint8Array;
  readonly signing: KeyObject | Uint8Array | undefined;
}

/** A key that whoever verifies can sign with, too. */
export function sharedKey(bytes: Uint8Array, method = SHARED_METHOD): JwtKey {
  return { method, verifying: bytes, signing: bytes };
}

/** Throws Error with a text for people: an unknown method, no key, a key of another kind. */
export function jwtKeyOf({ method, publicKey, privateKey }: KeyFiles): JwtKey {
  const family = Object.hasOwn(FAMILIES, method) ? FAMILIES[method] : undefined;
  if (family === undefined) {
    throw new Error(`sign-method ${method === "" ? "is missing" : `${method} is unknown`}`);
  }
  if (family === "HS") {
    if (privateKey?.length) return sharedKey(privateKey, method);
    throw new Error("priv-key is missing or empty");
  }
  const signing = privateKey === undefined ? undefined : nodeCrypto().createPrivateKey(privateKey);
  const given = publicKey === undefined ? undefined : nodeCrypto().createPublicKey(publicKey);
  const verifying =
    given ?? (signing === undefined ? undefined : nodeCrypto().createPublicKey(signing));
  if (verifying === undefined) throw new Error("neither pub-key nor priv-key is given");
  checkKey(method, family, verifying);
  if (signing !== undefined && !nodeCrypto().createPublicKey(signing).equals(verifying)) {
    throw new Error("pub-key and priv-key do not belong together");
  }
  return { method, verifying, signing };
}

function checkKey(method: string, family: Exclude<Family, "HS">, key: KeyObject): void {
  const type = key.asymmetricKeyType ?? "";
  if (type !== KEY_TYPES[family]) throw new Error(`${method} needs no key of type ${type}`);
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  const curve = CURVES[method];
  if (curve !== undefined && namedCurve !== curve) {
    throw new Error(`${method} needs a key on the curve ${curve}`);
  }
  if (type === "rsa" && modulusLength < RSA_BITS_MIN) {
    throw new Error(`${method} needs a key of ${RSA_BITS_MIN} bits at least, not ${modulusLength}`);
  }
}
