/** Snapshots from file to file over real sockets, the receiver restarting in the middle. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Prng } from "../../../src/base/prng.ts";
import type { SnapshotStore } from "../../../src/net/peers/ports.ts";
import { fileSnapshots, fileSource } from "../../../src/net/peers/snapshot-files.ts";
import { CHUNK_BYTES } from "../../../src/net/peers/snapshot-limits.ts";
import type { SnapshotMessage } from "../../../src/raft/message.ts";
import { until } from "../until.ts";
import { ID, introduce, type Member, startMember } from "./members.ts";

let directory = "";
const members: Member[] = [];
const installed: string[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "aether-snapshots-"));
  installed.length = 0;
});

afterEach(async () => {
  for (const member of members.splice(0)) await member.stop();
  rmSync(directory, { recursive: true });
});

const incoming = (): string => join(directory, "incoming");

function store(): SnapshotStore {
  return fileSnapshots(incoming(), async (_news, path) => {
    installed.push(path);
  });
}

function writeContent(name: string, size: number, seed: number): string {
  const random = new Prng(seed);
  const bytes = Buffer.alloc(size);
  for (let at = 0; at < size; at += 997) bytes[at] = random.below(256);
  const path = join(directory, name);
  writeFileSync(path, bytes);
  return path;
}

const MESSAGE: SnapshotMessage = {
  type: "snapshot",
  from: ID(1),
  to: ID(2),
  term: 2,
  meta: {
    index: 5,
    term: 2,
    configuration: {
      voters: [ID(1), ID(2)],
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    },
  },
};

async function start(n: number, port = 0): Promise<Member> {
  // Slow enough that a restart comes in the middle: 8 chunks at once, then 40 a second.
  const member = await startMember(n, { snapshotBytesPerSecond: 40 * CHUNK_BYTES }, port);
  members.push(member);
  return member;
}

test("a copy goes on after its receiver was restarted, and is the same file", async () => {
  const path = writeContent("state", 16 * CHUNK_BYTES + 17, 3);
  const source = await fileSource(path);
  const [a, b] = [await start(1), await start(2)];
  b.seen.snapshots = store();
  introduce(a, b);
  const transfer = a.peers.sendSnapshot(1, MESSAGE, source);
  await until(() => transfer.offset >= 4 * CHUNK_BYTES, "four chunks");
  await b.stop();
  const [kept = ""] = readdirSync(incoming());
  const keptBytes = statSync(join(incoming(), kept)).size;
  expect(keptBytes).toBeGreaterThanOrEqual(4 * CHUNK_BYTES);
  const again = await start(2, Number(new URL(b.url).port));
  const opened: number[] = [];
  const files = store();
  again.seen.snapshots = {
    open: async (news) => {
      const sink = await files.open(news);
      opened.push(sink.length);
      return sink;
    },
    install: (news, sink) => files.install(news, sink),
  };
  introduce(a, again);
  await transfer.done;
  await source.close();
  expect(opened).toEqual([keptBytes]);
  expect(installed).toEqual([join(incoming(), kept)]);
  expect(readFileSync(join(incoming(), kept)).equals(readFileSync(path))).toBe(true);
});

test("another copy of the group takes the place of an unfinished one", async () => {
  const files = store();
  const news = (fill: number, group = 1): Parameters<SnapshotStore["open"]>[0] => ({
    group,
    message: MESSAGE,
    size: 10,
    sha256: new Uint8Array(32).fill(fill),
  });
  for (const each of [news(1), news(1, 11), news(2)]) {
    const sink = await files.open(each);
    await sink.write(new Uint8Array(4));
    await sink.close();
  }
  expect(
    readdirSync(incoming())
      .map((name) => name.slice(0, 5))
      .sort(),
  ).toEqual(["1-020", "11-01"]);
  const sink = await files.open(news(2));
  expect(sink.length).toBe(4);
  await sink.discard();
  expect(readdirSync(incoming())).toHaveLength(1);
});

test("a source that shrinks is noticed", async () => {
  const path = writeContent("state", 1000, 4);
  const source = await fileSource(path);
  writeFileSync(path, "short");
  expect(source.read(0, 1000)).rejects.toThrow("shorter than it was");
  await source.close();
});
