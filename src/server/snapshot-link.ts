/**
 * Copies of the state between members, as files. What is sent is the file of the held state itself;
 * what arrives is collected in a directory of its own, laid beside the state, and handed to Raft.
 */
import { rm } from "node:fs/promises";
import { assert } from "../base/assert.ts";
import { AetherError } from "../base/errors.ts";
import type { SnapshotNews, SnapshotSource, SnapshotStore } from "../net/peers/ports.ts";
import { type FileSource, fileSnapshots, fileSource } from "../net/peers/snapshot-files.ts";
import type { SnapshotTransfer } from "../net/peers/snapshot-sender.ts";
import type { HeldState } from "../node/ports.ts";
import type { SnapshotMessage } from "../raft/message.ts";
import type { SnapshotMeta } from "../raft/types.ts";
import type { LinkedGroup } from "./linked-group.ts";

/** A held state that is a file: what the SQLite store holds. */
export interface HeldFile extends HeldState {
  readonly path: string;
  /** The file may have changed: what was read before one knew that must not be used. */
  readonly broken: boolean;
  /** Called when that happens. */
  onBroken: (() => void) | undefined;
}

/** Checks a received file and lays it beside the state, durably; the file is given away. */
export type StageCopy = (received: string, meta: SnapshotMeta) => Promise<void>;

/**
 * Sends the file that is held by `begin`, and resolves when it was installed. Rejects with
 * AetherError, as the transfer does, "canceled" if the hold was broken, or the system's error.
 */
export async function sendHeld(
  held: HeldState,
  begin: (source: SnapshotSource) => SnapshotTransfer,
): Promise<void> {
  assert(isFile(held), "the store holds its state in a file");
  let source: FileSource | undefined;
  try {
    source = await fileSource(held.path);
    checkHeld(held);
    const transfer = begin(heldSource(source, held));
    held.onBroken = () => transfer.cancel();
    await transfer.done;
  } finally {
    held.onBroken = undefined;
    await source?.close();
  }
}

/** Reads nothing but the held state. */
function heldSource({ size, sha256, read }: FileSource, held: HeldFile): SnapshotSource {
  return {
    size,
    sha256,
    async read(offset, length) {
      const bytes = await read(offset, length);
      checkHeld(held);
      return bytes;
    },
  };
}

function checkHeld(held: HeldFile): void {
  if (held.broken) throw new AetherError("canceled", "the store went on with its file");
}

function isFile(held: HeldState): held is HeldFile {
  return "path" in held;
}

/** Keeps what arrives in `directory`; what is whole is staged and handed to the group. */
export function receivedCopies(
  directory: string,
  stage: StageCopy,
  group: () => LinkedGroup,
): SnapshotStore {
  return fileSnapshots(directory, async ({ message }: SnapshotNews, path) => {
    try {
      await stage(path, message.meta);
    } catch (error) {
      await rm(path, { force: true }); // it would be found whole, and refused, again and again
      throw error;
    }
    await taken(group(), message);
  });
}

function taken(group: LinkedGroup, message: SnapshotMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    group.receiveSnapshot(message, (error) => {
      if (error === undefined) resolve();
      else reject(error);
    });
  });
}
