/** What the offline commands have to say, in etcdutl's forms (etcdutl/etcdutl/printer*.go). */
import type { HistoryHash, SnapshotStatus } from "../../storage/etcd/inspect.ts";
import type { Answer, Format } from "../ctl/output/answer.ts";
import { simpleRows, type Table } from "../ctl/output/table.ts";
import { humaniseBytes } from "../sizes.ts";

export const UTL_FORMATS: readonly Format[] = ["simple", "json", "fields", "table"];

export function snapshotAnswer(status: SnapshotStatus): Answer {
  const { hash, revision, totalKey, totalSize, version } = status;
  const table: Table = {
    header: ["hash", "revision", "total keys", "total size", "version"],
    rows: [
      [hash.toString(16), String(revision), String(totalKey), humaniseBytes(totalSize), version],
    ],
  };
  return {
    simple: (page) => simpleRows(page, table),
    fields: (page) => {
      page.field("Hash", hash).field("Revision", revision).field("Keys", totalKey);
      page.field("Size", totalSize).field("Version", version);
    },
    json: () => ({ hash, revision, totalKey, totalSize, version }),
    table: () => table,
  };
}

export function historyAnswer({ hash, hashRevision, compactRevision }: HistoryHash): Answer {
  const table: Table = {
    header: ["hash", "hash revision", "compact revision"],
    rows: [[String(hash), String(hashRevision), String(compactRevision)]],
  };
  return {
    simple: (page) => simpleRows(page, table),
    fields: (page) => {
      page.field("Hash", hash).field("Hash revision", hashRevision);
      page.field("Compact revision", compactRevision);
    },
    json: () => ({ hash, hashRevision, compactRevision }),
    table: () => table,
  };
}
