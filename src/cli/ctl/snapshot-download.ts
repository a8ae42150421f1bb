/**
 * A server's snapshot on its way into a file: into `FILE.part` first, so that FILE is a whole one
 * or not there at all (etcd client/v3/snapshot/v3_snapshot.go). Its SHA-256, which comes last, is
 * checked here too; etcdctl leaves that to whoever restores.
 */
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import type { EtcdClient } from "../../client/etcd-client.ts";
import { GrpcError } from "../../client/grpc-error.ts";
import { Maintenance, SnapshotRequest } from "../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../exit.ts";

const SHA256_BYTES = 32;
/** A database is whole sectors, so what is left of one is the hash. */
const SECTOR_BYTES = 512;

export interface DownloadOptions {
  /** None without. */
  readonly timeoutMs: number | undefined;
  /** Gives the download up. */
  readonly interrupted: AbortSignal;
  /** Called with each chunk. */
  readonly onProgress: (receivedBytes: number, remainingBytes: number) => void;
}

export interface Downloaded {
  readonly bytes: number;
  /** Of the server's storage; empty before etcd 3.6. */
  readonly version: string;
}

/** Saves a snapshot of the one server that `client` talks to. Rejects with ExitError. */
export async function downloadSnapshot(
  client: EtcdClient,
  path: string,
  options: DownloadOptions,
): Promise<Downloaded> {
  const part = `${path}.part`;
  const file = openPart(part);
  let open = true;
  try {
    const found = await receive(client, file, options);
    fsyncSync(file);
    closeSync(file);
    open = false;
    renameSync(part, path);
    return found;
  } catch (cause) {
    if (cause instanceof ExitError) throw cause;
    throw interrupted(`could not write snapshot: ${textOf(cause)}`, cause);
  } finally {
    if (open) closeSync(file);
    rmSync(part, { force: true });
  }
}

/**
 * A file of our own, and for us alone: what a broken-off attempt left is removed, and a link that
 * somebody laid there is not followed.
 */
function openPart(part: string): number {
  try {
    rmSync(part, { force: true });
    return openSync(part, "wx", 0o600);
  } catch (cause) {
    throw interrupted(`could not open ${part} (${textOf(cause)})`, cause);
  }
}

async function receive(
  client: EtcdClient,
  file: number,
  { timeoutMs, interrupted: signal, onProgress }: DownloadOptions,
): Promise<Downloaded> {
  const limit = timeoutMs === undefined ? {} : { timeoutMs };
  const stream = client.channel.open(Maintenance.Snapshot, limit);
  const giveUp = (): void => stream.cancel();
  signal.addEventListener("abort", giveUp);
  stream.send(SnapshotRequest.create());
  stream.halfClose();
  const hasher = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  let version = "";
  let last: Uint8Array = new Uint8Array(0);
  try {
    for await (const { blob, remainingBytes, version: of } of stream) {
      hasher.update(last);
      last = blob;
      version = of;
      for (let done = 0; done < blob.length; ) done += writeSync(file, blob, done);
      bytes += blob.length;
      onProgress(bytes, remainingBytes);
    }
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
  if (bytes % SECTOR_BYTES !== SHA256_BYTES || last.length < SHA256_BYTES) {
    throw interrupted(`sha256 checksum not found [bytes: ${bytes}]`);
  }
  // The hash has a message of its own; a server that joins it to the last chunk is as right.
  hasher.update(last.subarray(0, last.length - SHA256_BYTES));
  if (!hasher.digest().equals(last.subarray(last.length - SHA256_BYTES))) {
    throw interrupted("the snapshot does not have the sha256 that the server said: take another");
  }
  return { bytes, version };
}

function interrupted(text: string, cause?: unknown): ExitError {
  return new ExitError(EXIT.INTERRUPTED, text, { cause });
}

/** Throws on what nobody expected. */
function textOf(error: unknown): string {
  if (error instanceof GrpcError) return error.message;
  const { code, message } = error as NodeJS.ErrnoException;
  if (typeof code !== "string") throw error;
  return message;
}
