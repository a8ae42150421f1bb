/**
 * Copies of the state in which a member changed whatever it liked and made all checksums anew: each
 * is refused with a typed error, or a machine goes on with it.
 */
import { afterAll } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { AetherError } from "../../src/base/errors.ts";
import type { StateStore } from "../../src/node/ports.ts";
import {
  CompactionRequest,
  DeleteRangeRequest,
  LeaseGrantRequest,
  LeaseRevokeRequest,
  PutRequest,
  RangeRequest,
} from "../../src/proto/gen/etcdserverpb.ts";
import { CommandKind } from "../../src/state/command.ts";
import { StateMachine } from "../../src/state/machine.ts";
import { verify } from "../../src/state/verify.ts";
import { runStaging, type StageOptions } from "../../src/storage/state-staging.ts";
import { openStateStore } from "../../src/storage/state-store.ts";
import { StorageError } from "../../src/storage/storage-error.ts";
import { batchOf, type Command, encoded } from "../state/driver.ts";
import {
  type ChangeableRow,
  type Content,
  fail,
  GROUP,
  makeSoundState,
  rewrite,
} from "../storage/rewritten-state.ts";
import { compacted, stored } from "../storage/state-store.contract.ts";
import { fuzz } from "./fuzz.ts";

const home = mkdtempSync(join(tmpdir(), "aether-fuzz-content-"));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const sound = join(home, "sound.db");
const { index, term } = await makeSoundState(sound);

/** Fractions say which row or record: they fit any number of them. */
const place = fc.nat(2 ** 16 - 1).map((parts) => parts / 2 ** 16);

const number = fc.oneof(
  { weight: 3, arbitrary: fc.record({ by: fc.integer({ min: -40, max: 40 }) }) },
  { weight: 1, arbitrary: fc.record({ to: fc.constantFrom(-1, 0, 1, 2 ** 31, 2 ** 32, 2 ** 53) }) },
);

const bytes = fc.oneof(
  fc.record({ at: place, put: fc.nat(255) }),
  fc.record({ cut: place }),
  fc.record({ add: fc.uint8Array({ maxLength: 12 }) }),
);

const change = fc.oneof(
  fc.record({
    row: place,
    number: fc.constantFrom("seq", "revision", "sub", "prev", "jump", "depth" as const),
    becomes: number,
  }),
  fc.record({ row: place, bytes }),
  fc.record({ row: place, turns: fc.constant(true) }),
  fc.record({ row: place, like: place }),
  fc.record({ row: place, goes: fc.constant(true) }),
  fc.record({ record: place, bytes }),
  fc.record({ record: place, keyBytes: bytes }),
  fc.record({
    record: place,
    moves: fc.constantFrom("lease", "member", "member-gone", "alarm", "version", "auth", "meta"),
  }),
  fc.record({ record: place, goes: fc.constant(true) }),
  fc.record({
    book: fc.constantFrom("done", "requested", "target", "nextSeq" as const),
    becomes: number,
  }),
);

type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;
type NumberChange = { readonly by: number } | { readonly to: number };
type BytesChange =
  | { readonly at: number; readonly put: number }
  | { readonly cut: number }
  | { readonly add: Uint8Array };

function changedNumber(value: number, becomes: NumberChange): number {
  return "by" in becomes ? value + becomes.by : becomes.to;
}

function changedBytes(value: Uint8Array, becomes: BytesChange): Uint8Array {
  if ("add" in becomes) return Buffer.concat([value, becomes.add]);
  if ("cut" in becomes) return value.slice(0, Math.floor(becomes.cut * value.length));
  const copy = Buffer.from(value);
  if (copy.length > 0) copy[Math.floor(becomes.at * copy.length)] = becomes.put;
  return copy;
}

function apply(content: Content, what: Change): void {
  if ("book" in what) {
    content.compaction[what.book] = changedNumber(content.compaction[what.book], what.becomes);
  } else if ("row" in what) applyToRow(content.rows, what);
  else {
    const { records } = content;
    const at = Math.floor(what.record * records.length);
    const record = records[at];
    if (record === undefined) return;
    if ("bytes" in what) record.value = changedBytes(record.value, what.bytes);
    else if ("moves" in what) record.space = what.moves;
    else if ("goes" in what) records.splice(at, 1);
    else {
      const key = changedBytes(Buffer.from(record.key, "latin1"), what.keyBytes);
      record.key = Buffer.from(key).toString("latin1");
    }
  }
}

function applyToRow(rows: ChangeableRow[], what: Extract<Change, { row: number }>): void {
  const at = Math.floor(what.row * rows.length);
  const row = rows[at];
  if (row === undefined) return;
  if ("number" in what) row[what.number] = changedNumber(row[what.number], what.becomes);
  else if ("bytes" in what) row.kv = changedBytes(row.kv, what.bytes);
  else if ("turns" in what) row.tombstone = !row.tombstone;
  else if ("goes" in what) rows.splice(at, 1);
  else row.kv = (rows[Math.floor(what.like * rows.length)] as ChangeableRow).kv;
}

/** Everything that a member does with a state, as far as it can be without a log. */
async function useState(path: string): Promise<void> {
  let store = await open(path);
  try {
    const machine = machineOf(store);
    verify(machine);
    for (let revision = 0; revision <= machine.revision; revision += 7) readAt(machine, revision);
    for (const body of commands(machine)) {
      machine.apply(machine.appliedIndex + 1, term, batchOf([body]), () => {});
      machine.takeRows();
      await stored(store, machine.takeBatch());
      machine.stored(machine.space.tail.next - 1);
    }
    await compacted(store, machine.physicalTarget());
    readAt(machine, 0);
    await new Promise<void>((resolve) => store.defragment(resolve));
    await store.close();
    store = await open(path);
    readAt(machineOf(store), 0);
  } finally {
    await store.close();
  }
}

function open(path: string): Promise<StateStore> {
  return openStateStore({ path, group: GROUP, sync: false, onFatal: fail, logStart: undefined });
}

function machineOf(store: StateStore): StateMachine {
  const machine = new StateMachine(store, 0);
  machine.restore(store.stored);
  return machine;
}

function readAt(machine: StateMachine, revision: number): void {
  try {
    machine.range(RangeRequest.create({ key: "\0", rangeEnd: "\0", revision }));
  } catch (error) {
    if (!(error instanceof AetherError)) throw error;
  }
}

/** Each lease ends, every key is put and one deleted; then nothing old is kept. */
function commands(machine: StateMachine): Command[] {
  const { IDs, keys } = {
    IDs: [...machine.space.leases.all()].map(({ id }) => id),
    keys: [...machine.space.index.all()].map(({ key }) => key),
  };
  const { revoke, put, deleteRange, compact, grant } = {
    revoke: CommandKind.leaseRevoke,
    put: CommandKind.put,
    deleteRange: CommandKind.deleteRange,
    compact: CommandKind.compact,
    grant: CommandKind.leaseGrant,
  };
  return [
    ...IDs.map((ID) => ({ kind: revoke, body: encoded(LeaseRevokeRequest, { ID }) })),
    { kind: grant, body: encoded(LeaseGrantRequest, { ID: 99n, TTL: 60 }) },
    ...keys.map((key) => ({ kind: put, body: encoded(PutRequest, { key, prevKv: true }) })),
    { kind: deleteRange, body: encoded(DeleteRangeRequest, { key: "k1", prevKv: true }) },
    { kind: compact, body: encoded(CompactionRequest, { revision: machine.revision }) },
  ];
}

let copies = 0;

fuzz({
  name: "received-content",
  inputs: [
    fc.oneof(
      { weight: 3, arbitrary: change.map((one) => [one]) }, // few more than one are ever taken
      { weight: 1, arbitrary: fc.array(change, { minLength: 2, maxLength: 4 }) },
    ),
  ],
  check: async (changes) => {
    const folder = join(home, `${++copies}`);
    mkdirSync(folder);
    const [received, path] = [join(folder, "part"), join(folder, "state.db")];
    copyFileSync(sound, received);
    try {
      rewrite(received, (content) => {
        for (const each of changes) apply(content, each);
      });
      if (!isTaken({ received, path, group: GROUP, index, term })) return;
      renameSync(`${path}.next`, path);
      await useState(path);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  runs: 50,
});

/** False if the copy is refused, with a typed error. */
function isTaken(options: StageOptions): boolean {
  try {
    runStaging(options);
    return true;
  } catch (error) {
    if (error instanceof AetherError && error.code === "corrupt") return false;
    if (error instanceof StorageError) return false;
    throw error;
  }
}
