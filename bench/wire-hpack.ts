/**
 * Times HPACK alone: the request blocks of the usual gRPC clients, an answer, Huffman strings.
 * One JSON line a case: nanoseconds of the fastest and of the median round, and a hash of what
 * was decoded, so that two runs are known to have done the same work.
 *
 *   bun bench/wire-hpack.ts [rounds]
 */
import { ByteWriter } from "../src/base/bytes.ts";
import { HpackDecoder } from "../src/wire/hpack/decoder.ts";
import { HpackEncoder } from "../src/wire/hpack/encoder.ts";
import {
  huffmanBytes,
  huffmanDecode,
  huffmanDecodedBytesMax,
  huffmanEncode,
} from "../src/wire/hpack/huffman.ts";

const ROUNDS = Number(process.argv[2] ?? 15);
const CALLS = 100_000;
const LIMITS = { tableBytesMax: 4096, listBytesMax: 16384 };

const REQUEST = [
  [":method", "POST", ":scheme", "http", ":path", "/etcdserverpb.KV/Range"],
  [":authority", "127.0.0.1:2379", "content-type", "application/grpc"],
  ["user-agent", "grpc-go/1.70.0", "te", "trailers"],
].flat();
const RESPONSE = [":status", "200", "content-type", "application/grpc"];
const TRAILERS = ["grpc-status", "0", "grpc-message", ""];
const TEXT = "/etcdserverpb.KV/Range?trailers=application/grpc-go/1.70.0";

interface Case {
  readonly name: string;
  readonly call: () => number;
}

function encoded(encoder: HpackEncoder, fields: readonly string[]): Buffer {
  const out = new ByteWriter(256);
  encoder.encode(fields, out);
  return Buffer.from(out.view());
}

function decodeCase(name: string, encoder: HpackEncoder, fields: readonly string[]): Case {
  const decoder = new HpackDecoder(LIMITS);
  const first = encoded(encoder, fields);
  decoder.decode(first, 0, first.length);
  const block = encoded(encoder, fields);
  return { name, call: () => decoder.decode(block, 0, block.length).length + block.length };
}

/** What h2load sends: path and length as literals in Huffman form, the rest as indexes. */
function literalPathCase(): Case {
  const policy = (name: string) =>
    name === ":path" || name === "content-length" ? "plain" : "index";
  const encoder = new HpackEncoder({ indexing: policy });
  const fields = [...REQUEST, "content-length", "12"];
  return decodeCase("decode request, path and length literal", encoder, fields);
}

/** A deadline that differs at each call and is indexed, as grpc-go does: the table turns over. */
function deadlineCase(): Case {
  const encoder = new HpackEncoder({ indexing: () => "index" });
  const decoder = new HpackDecoder(LIMITS);
  const blocks: Buffer[] = [];
  for (let at = 0; at < 4096; at++) {
    blocks.push(encoded(encoder, [...REQUEST, "grpc-timeout", `${1_999_999 - at}u`]));
  }
  let at = 0;
  const call = (): number => {
    // The first block of a round meets a table of the last round, which has the same shape.
    const block = blocks[at++ & 4095] as Buffer;
    return decoder.decode(block, 0, block.length).length;
  };
  return { name: "decode request with a deadline that enters the table", call };
}

function encodeCase(name: string, fields: readonly string[]): Case {
  const encoder = new HpackEncoder();
  const out = new ByteWriter(256);
  encoder.encode(fields, out);
  const call = (): number => {
    out.reset();
    encoder.encode(fields, out);
    return out.length;
  };
  return { name, call };
}

function huffmanCases(): Case[] {
  const out = new ByteWriter(128);
  const count = huffmanBytes(TEXT);
  huffmanEncode(TEXT, count, out);
  const bytes = Buffer.from(out.view());
  const room = Buffer.alloc(huffmanDecodedBytesMax(count));
  const again = new ByteWriter(128);
  return [
    {
      name: `huffman decode of ${TEXT.length} characters`,
      call: () => huffmanDecode(bytes, 0, bytes.length, room, 0),
    },
    {
      name: `huffman encode of ${TEXT.length} characters`,
      call: () => {
        again.reset();
        huffmanEncode(TEXT, huffmanBytes(TEXT), again);
        return again.length;
      },
    },
  ];
}

function run(each: Case): void {
  const rounds: number[] = [];
  let hash = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const before = Bun.nanoseconds();
    for (let call = 0; call < CALLS; call++) hash = (Math.imul(hash, 31) + each.call()) | 0;
    rounds.push((Bun.nanoseconds() - before) / CALLS);
  }
  rounds.sort((a, b) => a - b);
  const fastestNs = Math.round(rounds[0] as number);
  const medianNs = Math.round(rounds[rounds.length >> 1] as number);
  console.log(JSON.stringify({ name: each.name, fastestNs, medianNs, hash }));
}

const cases = [
  decodeCase("decode request, all indexed", new HpackEncoder(), REQUEST),
  literalPathCase(),
  deadlineCase(),
  encodeCase("encode response headers", RESPONSE),
  encodeCase("encode trailers", TRAILERS),
  ...huffmanCases(),
];
for (const each of cases) run(each);
