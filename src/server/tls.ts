/** The files that TLS needs, read and held against each other before anything listens. */

import type { KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { nodeCrypto } from "../base/builtin.ts";
import { AetherError } from "../base/errors.ts";
import type { ClientTls, ServerTls, TlsLimits } from "../net/tls.ts";
import type { Config } from "./config/config.ts";
import type { TlsFiles } from "./config/tls-files.ts";

/** Both sides of what one pair of flags says. */
export interface LoadedTls {
  readonly server: ServerTls;
  /** For calling other members. */
  readonly client: ClientTls;
}

/** Throws AetherError invalid_argument with the file's name for one that cannot be used. */
function loadTls(files: TlsFiles): LoadedTls {
  const { certFile, keyFile, caFile, callerCertFile, callerKeyFile } = files;
  const limits: TlsLimits = {
    versionMin: files.versions.min,
    versionMax: files.versions.max,
    ciphers: files.ciphers,
  };
  const own = readPair(certFile, keyFile);
  const caller =
    callerCertFile === undefined ? own : readPair(callerCertFile, callerKeyFile ?? keyFile);
  const authority = caFile === undefined ? {} : { ca: readCertificates(caFile) };
  const { clientCertRequired, addressesChecked: callerNamed } = files;
  return {
    server: { ...own, ...authority, ...limits, clientCertRequired, callerNamed },
    client: { ...caller, ...authority, ...limits, insecureSkipVerify: files.calledUnverified },
  };
}

function readPair(certFile: string, keyFile: string): { cert: string; key: string } {
  const cert = readCertificates(certFile);
  const key = read(keyFile);
  if (!new (nodeCrypto().X509Certificate)(cert).checkPrivateKey(privateKey(key, keyFile))) {
    throw unusable(keyFile, `it is not the key of ${certFile}`);
  }
  return { cert, key };
}

function readCertificates(file: string): string {
  const text = read(file);
  try {
    new (nodeCrypto().X509Certificate)(text);
  } catch (error) {
    throw unusable(file, "no certificate in PEM form", error);
  }
  return text;
}

function privateKey(text: string, file: string): KeyObject {
  try {
    return nodeCrypto().createPrivateKey(text);
  } catch (error) {
    throw unusable(file, "no private key in PEM form", error);
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw unusable(file, code === "ENOENT" ? "no such file" : `cannot be read (${code})`, error);
  }
}

function unusable(file: string, why: string, cause?: unknown): AetherError {
  return new AetherError("invalid_argument", `${file}: ${why}`, { cause });
}

/** Of a node: for the addresses of clients, and for members both ways. */
export interface NodeTls {
  readonly clients: LoadedTls | undefined;
  readonly peers: LoadedTls | undefined;
}

/** Throws AetherError invalid_argument. */
export function loadNodeTls({ clientTls, peerTls }: Config): NodeTls {
  return {
    clients: clientTls === undefined ? undefined : loadTls(clientTls),
    peers: peerTls === undefined ? undefined : loadTls(peerTls),
  };
}
