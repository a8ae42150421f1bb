/**
 * A process that reads everything again and again, one answer after the other, and does not look
 * at it: `bun large-ranges.ts HOST:PORT`. A process of its own, so that receiving does not delay
 * whoever measures. Prints the bytes of each answer on a line.
 */
import { Client, credentials } from "@grpc/grpc-js";
import { ByteWriter } from "../../src/base/bytes.ts";
import { RangeRequest } from "../../src/proto/gen/etcdserverpb.ts";

const [address = ""] = process.argv.slice(2);
const client = new Client(address, credentials.createInsecure(), {
  "grpc.max_receive_message_length": -1,
});
const out = new ByteWriter(64);
RangeRequest.encode(RangeRequest.create({ key: "\0", rangeEnd: "\0" }), out);
const request = Buffer.from(out.view());
const same = (bytes: Buffer): Buffer => bytes;

function readAll(): Promise<number> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest("/etcdserverpb.KV/Range", same, same, request, (error, answer) => {
      if (error === null) resolve(answer?.length ?? 0);
      else reject(error);
    });
  });
}

for (;;) console.log(await readAll());
