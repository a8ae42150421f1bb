/**
 * Certificates and keys from PEM files, held against each other before anybody relies on them. What
 * the runtime says of a wrong one names neither the file nor the fault.
 */
import type { KeyObject } from "node:crypto";
import { nodeCrypto } from "../base/builtin.ts";
import { AetherError } from "../base/errors.ts";

/** A text and the name of its file, for messages. */
export interface PemFile {
  readonly file: string;
  readonly text: string;
}

const BLOCKS = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** Throws AetherError invalid_argument unless there is a certificate, and each can be read. */
export function requireCertificates({ file, text }: PemFile): void {
  const blocks = text.match(BLOCKS) ?? [];
  if (blocks.length === 0) throw unusable(file, "no certificate in PEM form");
  for (const [place, block] of blocks.entries()) {
    try {
      new (nodeCrypto().X509Certificate)(block);
    } catch (error) {
      throw unusable(file, `certificate ${place + 1} of ${blocks.length} is damaged`, error);
    }
  }
}

/** Throws AetherError invalid_argument unless `key` is that of the first certificate in `cert`. */
export function requirePair(cert: PemFile, key: PemFile): void {
  requireCertificates(cert);
  const [first = ""] = cert.text.match(BLOCKS) ?? [];
  if (new (nodeCrypto().X509Certificate)(first).checkPrivateKey(privateKey(key))) return;
  throw unusable(key.file, `it is not the key of ${cert.file}`);
}

function privateKey({ file, text }: PemFile): KeyObject {
  try {
    return nodeCrypto().createPrivateKey(text);
  } catch (error) {
    const isLocked = /ENCRYPTED/.test(text);
    const why = isLocked
      ? "the key is encrypted: take its password off"
      : "no private key in PEM form";
    throw unusable(file, why, error);
  }
}

function unusable(file: string, why: string, cause?: unknown): AetherError {
  return new AetherError("invalid_argument", `${file}: ${why}`, { cause });
}
