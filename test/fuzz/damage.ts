/** Damage to files, as fuzz targets draw it: places are fractions, so that they fit any file. */
import fc from "fast-check";

export type Damage =
  | { readonly kind: "flip"; readonly at: number; readonly bit: number }
  | { readonly kind: "write"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "cut"; readonly at: number }
  | { readonly kind: "splice"; readonly from: number; readonly to: number; readonly pages: number };

/** Databases of both kinds have pages of this size, and damage on disks comes by the page. */
const PAGE_BYTES = 4096;

const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });

export const damages: fc.Arbitrary<Damage[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("flip" as const), at: place, bit: fc.nat(7) }),
    fc.record({
      kind: fc.constant("write" as const),
      at: place,
      bytes: fc.uint8Array({ minLength: 1, maxLength: 64 }),
    }),
    fc.record({ kind: fc.constant("cut" as const), at: place }),
    fc.record({
      kind: fc.constant("splice" as const),
      from: place,
      to: place,
      pages: fc.integer({ min: 1, max: 3 }),
    }),
  ),
  { minLength: 1, maxLength: 4 },
);

/** A copy of `bytes` with all of it done, in order. */
export function damaged(bytes: Uint8Array, all: readonly Damage[]): Buffer {
  return all.reduce<Buffer>(damagedOnce, Buffer.from(bytes));
}

function damagedOnce(bytes: Buffer, damage: Damage): Buffer {
  if (bytes.length === 0) return bytes;
  if (damage.kind === "cut") return bytes.subarray(0, Math.floor(damage.at * bytes.length));
  if (damage.kind === "splice") {
    const [from, to] = [pageAt(bytes, damage.from), pageAt(bytes, damage.to)];
    bytes.copyWithin(to, from, from + damage.pages * PAGE_BYTES);
    return bytes;
  }
  const at = Math.floor(damage.at * bytes.length);
  if (damage.kind === "write") bytes.set(damage.bytes.subarray(0, bytes.length - at), at);
  else bytes[at] = (bytes[at] as number) ^ (1 << damage.bit);
  return bytes;
}

function pageAt(bytes: Buffer, fraction: number): number {
  return Math.floor((fraction * bytes.length) / PAGE_BYTES) * PAGE_BYTES;
}
