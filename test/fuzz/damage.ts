/**
 * Damage to files, as fuzz targets draw it: places are fractions, so that they fit any file, of
 * those pages of it that hold something.
 */
import fc from "fast-check";

export type Damage =
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "write"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "splice"; readonly from: number; readonly to: number; readonly pages: number };

/** Databases of both kinds have pages of this size, and damage on disks comes by the page. */
const PAGE_BYTES = 4096;

/** Spread evenly, which fc.double is not: nine of ten of its draws are below 0.01. */
const place = fc.nat(2 ** 24 - 1).map((parts) => parts / 2 ** 24);

const flip = fc.record({ kind: fc.constant("flip" as const), at: place, bit: fc.nat(7) });

const write = fc.record({
  kind: fc.constant("write" as const),
  at: place,
  bytes: fc.uint8Array({ minLength: 1, maxLength: 64 }),
});

const splice = fc.record({
  kind: fc.constant("splice" as const),
  from: place,
  to: place,
  pages: fc.integer({ min: 1, max: 3 }),
});

const cut = fc.record({ kind: fc.constant("cut" as const), at: place });

/** One flipped bit is the hardest to find, so it is the most frequent. */
export const damages: fc.Arbitrary<Damage[]> = fc.oneof(
  { weight: 3, arbitrary: fc.array(flip, { minLength: 1, maxLength: 1 }) },
  {
    weight: 2,
    arbitrary: fc.array(fc.oneof(flip, write, splice, cut), { minLength: 1, maxLength: 4 }),
  },
);

/** A copy of `bytes` with all of it done, in order. */
export function damaged(bytes: Uint8Array, all: readonly Damage[]): Buffer {
  return all.reduce<Buffer>(damagedOnce, Buffer.from(bytes));
}

function damagedOnce(bytes: Buffer, damage: Damage): Buffer {
  const used = usedPages(bytes);
  if (used.length === 0) return bytes;
  const placeOf = (fraction: number): number => {
    const pages = fraction * used.length;
    const page = used[Math.floor(pages)] as number;
    return Math.min(page + Math.floor((pages % 1) * PAGE_BYTES), bytes.length - 1);
  };
  const pageOf = (fraction: number): number => used[Math.floor(fraction * used.length)] as number;
  if (damage.kind === "splice") {
    const from = pageOf(damage.from);
    bytes.copyWithin(pageOf(damage.to), from, from + damage.pages * PAGE_BYTES);
    return bytes;
  }
  const at = placeOf(damage.at);
  if (damage.kind === "cut") return bytes.subarray(0, at);
  if (damage.kind === "write") bytes.set(damage.bytes.subarray(0, bytes.length - at), at);
  else bytes[at] = (bytes[at] as number) ^ (1 << damage.bit);
  return bytes;
}

const EMPTY_PAGE = Buffer.alloc(PAGE_BYTES);

/** Where pages begin in which not every byte is zero: a log's file is mostly room to grow. */
function usedPages(bytes: Buffer): number[] {
  const used: number[] = [];
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
    const page = bytes.subarray(at, at + PAGE_BYTES);
    if (!page.equals(EMPTY_PAGE.subarray(0, page.length))) used.push(at);
  }
  return used;
}
