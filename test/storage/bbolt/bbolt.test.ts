/**
 * bbolt's file format: what is written comes back, bbolt's own judgement of it is in
 * etcd-witness tests, and a reader survives whatever it is given.
 */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Prng } from "../../../src/base/prng.ts";
import { fnv1a64, metaPage, PAGE_BYTES, readMeta } from "../../../src/storage/bbolt/format.ts";
import type { BucketWriter } from "../../../src/storage/bbolt/writer.ts";
import { listed, reading, refusal, written } from "./bbolt-files.ts";

const directory = mkdtempSync(join(tmpdir(), "aether-bbolt-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

/** `count` keys whose values have the lengths that `lengthOf` says. */
function keys(count: number, lengthOf: (i: number) => number): (bucket: BucketWriter) => void {
  return (bucket) => {
    for (let i = 0; i < count; i++) {
      bucket.put(bytes(`k${String(i).padStart(8, "0")}`), Buffer.alloc(lengthOf(i), 97 + (i % 26)));
    }
  };
}

describe("what is written comes back", () => {
  const shapes: readonly (readonly [name: string, fill: (root: BucketWriter) => void])[] = [
    ["no bucket", () => {}],
    ["an empty bucket", (root) => root.bucket(bytes("a"), () => {})],
    [
      "one key",
      (root) =>
        root.bucket(
          bytes("a"),
          keys(1, () => 3),
        ),
    ],
    [
      "a bucket at the bound of lying inside its value",
      (root) => {
        for (let n = 20; n < 40; n++)
          root.bucket(
            bytes(`b${n}`),
            keys(n, () => 5),
          );
      },
    ],
    [
      "three levels",
      (root) =>
        root.bucket(
          bytes("a"),
          keys(30_000, (i) => i % 90),
        ),
    ],
    [
      "large values among small ones",
      (root) => {
        root.bucket(
          bytes("a"),
          keys(400, (i) => (i % 7 === 0 ? 30_000 : i % 5)),
        );
      },
    ],
    [
      "only large values",
      (root) =>
        root.bucket(
          bytes("a"),
          keys(9, () => 1_600_000),
        ),
    ],
    [
      "empty values",
      (root) =>
        root.bucket(
          bytes("a"),
          keys(500, () => 0),
        ),
    ],
    [
      "long keys, so that branches are long",
      (root) =>
        root.bucket(bytes("a"), (bucket) => {
          for (let i = 0; i < 60; i++) {
            bucket.put(Buffer.alloc(20_000 + i, String.fromCharCode(33 + i)), bytes("v"));
          }
        }),
    ],
    [
      "buckets in buckets",
      (root) =>
        root.bucket(bytes("a"), (outer) => {
          outer.put(bytes("1"), bytes("x"));
          outer.bucket(bytes("2"), (inner) => {
            inner.bucket(
              bytes("deep"),
              keys(900, () => 20),
            );
            inner.put(bytes("z"), bytes("y"));
          });
          outer.put(bytes("3"), bytes("z"));
        }),
    ],
  ];
  for (const [name, fill] of shapes) {
    test(name, () => {
      const file = written(directory, "a.db", fill);
      expect(file.length % PAGE_BYTES).toBe(0);
      expect(listed(directory, file)).toEqual(expected(fill));
    });
  }

  /** The lines that listed() gives, by way of a writer that only notes. */
  function expected(fill: (root: BucketWriter) => void): string[] {
    const lines: string[] = [];
    const note = (name: string): BucketWriter =>
      ({
        put: (key: Buffer, value: Buffer) => {
          lines.push(`${name}/${key.latin1Slice()}=${value.latin1Slice()}`);
        },
        bucket: (key: Buffer, inside: (bucket: BucketWriter) => void) => {
          if (name !== "") lines.push(`${name}/${key.latin1Slice()}=bucket`);
          inside(note(key.latin1Slice()));
        },
      }) as unknown as BucketWriter;
    fill(note(""));
    return lines;
  }
});

test("every branch has two children at least, or bbolt ends when it merges them", () => {
  for (let count = 1; count < 20_000; count = Math.ceil(count * 1.3)) {
    const file = written(directory, "b.db", (root) =>
      root.bucket(
        bytes("a"),
        keys(count, () => 60),
      ),
    );
    for (let at = 0; at < file.length; at += PAGE_BYTES) {
      const isBranch = file.readUInt16LE(at + 8) === 1;
      if (isBranch) expect(file.readUInt16LE(at + 10)).toBeGreaterThanOrEqual(2);
    }
  }
});

test("keys out of order, empty or too long are our own mistake", () => {
  const put =
    (...put: readonly Buffer[]): (() => Buffer) =>
    () =>
      written(directory, "c.db", (root) => {
        root.bucket(bytes("a"), (bucket) => {
          for (const key of put) bucket.put(key, bytes("v"));
        });
      });
  expect(put(bytes("b"), bytes("a"))).toThrow("in order");
  expect(put(bytes("b"), bytes("b"))).toThrow("in order");
  expect(put(bytes(""))).toThrow("1 to 32768");
  expect(put(Buffer.alloc(32_769))).toThrow("1 to 32768");
});

describe("meta", () => {
  test("FNV-1a as published", () => {
    expect(fnv1a64(bytes(""))).toBe(0xcbf29ce484222325n);
    expect(fnv1a64(bytes("foobar"))).toBe(0x85944171f73967e8n);
  });

  test("a meta page says what it was given, and any other bit is noticed", () => {
    const meta = { pageBytes: 4096, root: 3, freelist: undefined, pageCount: 9, transaction: 7n };
    const page = metaPage(0, meta);
    expect(readMeta(page)).toEqual(meta);
    for (let bit = 8 * 16; bit < 8 * 80; bit++) {
      const flipped = Buffer.from(page);
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(typeof readMeta(flipped)).toBe("string");
    }
  });
});

const sample = (): Buffer =>
  written(directory, "sample.db", (root) => {
    root.bucket(
      bytes("key"),
      keys(600, (i) => (i % 50 === 0 ? 6000 : 40)),
    );
    root.bucket(
      bytes("meta"),
      keys(3, () => 8),
    );
  });

describe("damage is refused by name", () => {
  /** The place of the first page of a kind. */
  const pageOf = (file: Buffer, flags: number): number => {
    for (let at = 2 * PAGE_BYTES; ; at += PAGE_BYTES) {
      if (file.readUInt16LE(at + 8) === flags) return at;
    }
  };
  const cases: readonly (readonly [name: string, spoil: (file: Buffer) => Buffer, why: RegExp])[] =
    [
      ["nothing", () => Buffer.alloc(0), /not a bbolt database: it is empty/],
      ["text", () => Buffer.alloc(9000, "hello "), /its meta is not bbolt's/],
      ["cut short", (file) => file.subarray(0, file.length - 1), /cut short/],
      ["cut in the metas", (file) => file.subarray(0, 70), /it is empty/],
      [
        "a page that refers to itself",
        (file) => {
          const at = pageOf(file, 1);
          file.writeBigUInt64LE(BigInt(at / PAGE_BYTES), at + 16 + 8);
          return file;
        },
        /is referred to twice/,
      ],
      [
        "two parents of one page",
        (file) => {
          const at = pageOf(file, 1);
          file.copy(file, at + 16 + 16 + 8, at + 16 + 8, at + 16 + 16);
          return file;
        },
        /is referred to twice/,
      ],
      [
        "a child outside of the file",
        (file) => {
          file.writeBigUInt64LE(0xffff_ffff_ffffn, pageOf(file, 1) + 16 + 8);
          return file;
        },
        /is none of its/,
      ],
      [
        "a child of no number",
        (file) => {
          file.writeBigUInt64LE(0xffff_ffff_ffff_ffffn, pageOf(file, 1) + 16 + 8);
          return file;
        },
        /page Infinity is none/,
      ],
      [
        "a page that is longer than the file",
        (file) => {
          file.writeUInt32LE(0xffff_ffff, pageOf(file, 2) + 12);
          return file;
        },
        /pages long/,
      ],
      [
        "a key outside of its page",
        (file) => {
          file.writeUInt32LE(0x7fff_ffff, pageOf(file, 2) + 16 + 8);
          return file;
        },
        /outside of it/,
      ],
      [
        "more elements than room",
        (file) => {
          file.writeUInt16LE(0xffff, pageOf(file, 2) + 10);
          return file;
        },
        /(no room for 65535|outside of it|no key|out of order)/,
      ],
      [
        "a leaf's kind",
        (file) => {
          file.writeUInt16LE(9, pageOf(file, 2) + 8);
          return file;
        },
        /has the flags 9/,
      ],
      [
        "a free page in use",
        (file) => {
          const at = pageOf(file, 16);
          file.writeUInt16LE(1, at + 10);
          file.writeBigUInt64LE(2n, at + 16);
          return file;
        },
        /page 2 is free and in use/,
      ],
      [
        "a page that nobody knows",
        (file) => {
          const root = readMeta(file.subarray(0, 100));
          if (typeof root === "string") throw new Error(root);
          const meta = { ...root, pageCount: root.pageCount + 1 };
          return Buffer.concat([
            metaPage(0, meta),
            metaPage(1, { ...meta, transaction: 1n }),
            file.subarray(2 * PAGE_BYTES),
            Buffer.alloc(PAGE_BYTES),
          ]);
        },
        /neither free nor in use/,
      ],
    ];
  for (const [name, spoil, why] of cases) {
    test(name, () => {
      expect(refusal(directory, spoil(Buffer.from(sample())))).toMatch(why);
    });
  }

  test("one meta is enough, and the newer one counts", () => {
    const file = sample();
    const lines = listed(directory, file);
    for (const page of [0, 1]) {
      const spoiled = Buffer.from(file);
      spoiled.fill(0xff, page * PAGE_BYTES, page * PAGE_BYTES + 100);
      expect(listed(directory, spoiled)).toEqual(lines);
    }
  });
});

test("whatever bytes change, a read ends with what is there or a named refusal", () => {
  const file = sample();
  const random = new Prng(7);
  let refused = 0;
  for (let round = 0; round < 1500; round++) {
    const spoiled = Buffer.from(file);
    const changes = 1 + random.below(4);
    for (let i = 0; i < changes; i++) {
      // Heads and elements more often than values, in which anything may stand.
      const page = 2 + random.below(spoiled.length / PAGE_BYTES - 2);
      const at = page * PAGE_BYTES + random.below(random.below(2) === 0 ? 64 : PAGE_BYTES);
      spoiled[at] = random.below(256);
    }
    const length = random.below(5) === 0 ? random.below(spoiled.length) : spoiled.length;
    if (refusal(directory, spoiled.subarray(0, length)) !== undefined) refused++;
  }
  expect(refused).toBeGreaterThan(500);
}, 60_000);

test("garbage between whole metas is refused, without memory for what it claims", () => {
  const random = new Prng(11);
  const meta = { pageBytes: 4096, root: 2, freelist: undefined, pageCount: 40, transaction: 1n };
  for (let round = 0; round < 200; round++) {
    const body = Buffer.from(Array.from({ length: 38 * 4096 }, () => random.below(256)));
    // Heads that look right, so that what is behind them is tried.
    for (let page = 0; page < 38; page++) {
      body.writeBigUInt64LE(BigInt(page + 2), page * 4096);
      body.writeUInt16LE(random.below(2) + 1, page * 4096 + 8);
      body.writeUInt32LE(0, page * 4096 + 12);
    }
    const file = Buffer.concat([metaPage(0, meta), metaPage(1, meta), body]);
    expect(refusal(directory, file)).toBeString();
  }
}, 60_000);

test("pages of another size are read", () => {
  // Two keys in a file with pages of 1024 bytes, as bbolt lays them out.
  const meta = { pageBytes: 1024, root: 2, freelist: undefined, pageCount: 3, transaction: 1n };
  const leaf = Buffer.alloc(1024);
  leaf.writeBigUInt64LE(2n, 0);
  leaf.writeUInt16LE(2, 8);
  const file = Buffer.concat([metaPage(0, meta), metaPage(1, { ...meta, transaction: 2n }), leaf]);
  expect(listed(directory, file)).toEqual([]);
  expect(reading(directory, file, (reader) => reader.meta.transaction)).toBe(2n);
  file.fill(0, 0, 1024);
  expect(reading(directory, file, (reader) => reader.bytes)).toBe(3 * 1024);
});
