/**
 * bbolt's file format, version 2 (go.etcd.io/bbolt: internal/common/{page,meta,bucket}.go), which
 * is what etcd keeps its state in and what a snapshot of it is. Little-endian throughout.
 *
 *   file     page 0: meta · page 1: meta · pages of trees and of the freelist, in any order
 *   page     id u64 · flags u16 · count u16 · overflow u32 · elements × count · their keys, values
 *            (`overflow` more pages belong to it and have no head of their own)
 *   leaf     element: flags u32 · position u32 · key length u32 · value length u32
 *   branch   element: position u32 · key length u32 · page id u64; the key bounds it from below
 *   freelist page ids u64 × count; count 0xffff: the first of them is the count
 *   bucket   a leaf's value whose element has flag 1: root page u64 · sequence u64; root 0: a small
 *            tree's only leaf page follows right there
 *   meta     magic u32 · version u32 · page size u32 · flags u32 · root bucket · freelist's page
 *            u64 · page count u64 · transaction u64 · FNV-1a-64 of all before
 *
 * A position counts from its own element. The meta with the higher transaction counts.
 */
import { asBuffer } from "../../base/bytes.ts";

/** Of the files we write; those of others may have any power of two. */
export const PAGE_BYTES = 4096;
export const PAGE_HEAD_BYTES = 16;
export const ELEMENT_BYTES = 16;
export const BUCKET_HEAD_BYTES = 16;

export const PageFlag = { branch: 1, leaf: 2, meta: 4, freelist: 16 } as const;

/** Of a leaf's element whose value is a bucket. */
export const BUCKET_FLAG = 1;

/** bbolt's MaxKeySize and MaxValueSize. */
export const KEY_BYTES_MAX = 32_768;
export const VALUE_BYTES_MAX = 2 ** 31 - 2;

const MAGIC = 0xed0cdaed;
const VERSION = 2;
const META_BYTES = 64;

/** In the place of the freelist's page: there is none, and who writes makes it from the trees. */
const NO_FREELIST = 0xffff_ffff_ffff_ffffn;

export interface Meta {
  readonly pageBytes: number;
  /** The page of the root bucket's tree. */
  readonly root: number;
  /** Where the freelist is, if it is kept. */
  readonly freelist: number | undefined;
  /** Pages in use: ids are below. */
  readonly pageCount: number;
  readonly transaction: bigint;
}

/** One element's place in its page, whatever the page's kind. */
export interface PageHead {
  readonly id: number;
  readonly flags: number;
  readonly count: number;
  readonly overflow: number;
}

export function putPageHead(page: Buffer, { id, flags, count, overflow }: PageHead): void {
  page.writeBigUInt64LE(BigInt(id), 0);
  page.writeUInt16LE(flags, 8);
  page.writeUInt16LE(count, 10);
  page.writeUInt32LE(overflow, 12);
}

/** The head of the page at `at`; an id too large to be one is Infinity. */
export function pageHeadAt(bytes: Buffer, at: number): PageHead {
  return {
    id: pageIdAt(bytes, at),
    flags: bytes.readUInt16LE(at + 8),
    count: bytes.readUInt16LE(at + 10),
    overflow: bytes.readUInt32LE(at + 12),
  };
}

/** A page id; one that no file can have is Infinity. */
export function pageIdAt(bytes: Buffer, at: number): number {
  const id = bytes.readBigUInt64LE(at);
  return id <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(id) : Number.POSITIVE_INFINITY;
}

/** The page `id` (0 or 1) that holds `meta`. */
export function metaPage(id: number, meta: Meta): Buffer {
  const page = Buffer.alloc(meta.pageBytes);
  putPageHead(page, { id, flags: PageFlag.meta, count: 0, overflow: 0 });
  const body = page.subarray(PAGE_HEAD_BYTES);
  body.writeUInt32LE(MAGIC, 0);
  body.writeUInt32LE(VERSION, 4);
  body.writeUInt32LE(meta.pageBytes, 8);
  body.writeBigUInt64LE(BigInt(meta.root), 16);
  body.writeBigUInt64LE(meta.freelist === undefined ? NO_FREELIST : BigInt(meta.freelist), 32);
  body.writeBigUInt64LE(BigInt(meta.pageCount), 40);
  body.writeBigUInt64LE(meta.transaction, 48);
  body.writeBigUInt64LE(fnv1a64(body.subarray(0, 56)), 56);
  return page;
}

/** The meta of a page's first bytes, or what is wrong with them. */
export function readMeta(page: Uint8Array): Meta | string {
  const body = asBuffer(page).subarray(PAGE_HEAD_BYTES);
  if (body.length < META_BYTES) return "is cut short";
  if (body.readUInt32LE(0) !== MAGIC) return "is not bbolt's";
  if (body.readUInt32LE(4) !== VERSION) return `has version ${body.readUInt32LE(4)}, not 2`;
  if (body.readBigUInt64LE(56) !== fnv1a64(body.subarray(0, 56))) return "fails its checksum";
  const freelist = body.readBigUInt64LE(32);
  return {
    pageBytes: body.readUInt32LE(8),
    root: pageIdAt(body, 16),
    freelist: freelist === NO_FREELIST ? undefined : pageIdAt(body, 32),
    pageCount: pageIdAt(body, 40),
    transaction: body.readBigUInt64LE(48),
  };
}

const FNV_OFFSET = 0xcbf2_9ce4_8422_2325n;
const FNV_PRIME = 0x100_0000_01b3n;

/** FNV-1a, 64 bits (RFC 9923). Of a meta only: a bigint a byte is slow. */
export function fnv1a64(bytes: Uint8Array): bigint {
  let hash = FNV_OFFSET;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME);
  return hash;
}
