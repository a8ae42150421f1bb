/** Damage that no checksum sees: a value in state.db is another one, and its checksum fits. */
import { Database } from "bun:sqlite";
import { ByteWriter } from "../../src/base/bytes.ts";
import { KeyValue } from "../../src/proto/gen/mvccpb.ts";
import type { Row } from "../../src/state/ports.ts";
import { rowChecksum } from "../../src/storage/state-checksum.ts";
import type { Member } from "../support/member.ts";

/** As the table has it. */
type StoredRow = Omit<Row, "tombstone"> & { readonly tombstone: number };

/** Gives every version of `key` another value. The member must not run. */
export function changeValue(member: Member, key: string, value: string): void {
  if (member.process.pid !== undefined) throw new Error(`${member.name} runs`);
  using db = new Database(`${member.process.dataDir}/group-1/state.db`, { readwrite: true });
  const rows = db.query<StoredRow, []>("SELECT * FROM row WHERE tombstone = 0").all();
  const put = db.query("UPDATE row SET kv = ?, crc = ? WHERE seq = ?");
  let changed = 0;
  for (const row of rows) {
    const kv = KeyValue.decode(row.kv, 0, row.kv.length);
    if (kv.key !== key) continue;
    const bytes = encoded({ ...kv, value: Buffer.from(value) });
    put.run(bytes, rowChecksum({ ...row, kv: bytes }, false), row.seq);
    changed++;
  }
  if (changed === 0) throw new Error(`${member.name} has no ${key} in its state.db`);
}

function encoded(kv: KeyValue): Uint8Array {
  const out = new ByteWriter(256);
  KeyValue.encode(kv, out);
  return out.copy();
}
