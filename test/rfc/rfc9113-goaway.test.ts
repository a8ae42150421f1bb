/** RFC 9113 §6.8 and §8.7: a server that is asked to stop while a connection has work left. */
import { expect, test } from "bun:test";
import { startAether } from "../support/processes.ts";
import { block, indexed, literal } from "./kit/hpack.ts";
import { lastIdOf, open, VERSION_REQUEST } from "./kit/peer.ts";
import * as wire from "./kit/wire.ts";
import { Code, Flag, headers, INT31_MAX, Setting, Type } from "./kit/wire.ts";

const WHOLE = Flag.END_HEADERS | Flag.END_STREAM;
const VERSION = block(VERSION_REQUEST);

test("§6.8-3 §6.8-4 §6.8-5 §8.7-3 a stopping server serves what it took, in step", async () => {
  await using server = await startAether();
  await using peer = await open(server.port, [Setting.INITIAL_WINDOW_SIZE, 0]);
  const id = peer.request();
  await peer.next(Type.HEADERS, id); // the answer waits for a window
  server.signal("SIGTERM");

  const announced = await peer.next(Type.GOAWAY);
  expect(lastIdOf(announced)).toBe(INT31_MAX); // SHOULD: so that requests on their way are served
  expect(announced.payload.readUInt32BE(4)).toBe(Code.NO_ERROR);
  const { payload } = await peer.next(Type.PING);
  peer.send(wire.frame(Type.PING, Flag.ACK, 0, payload));
  const last = await peer.next(Type.GOAWAY);
  expect(lastIdOf(last)).toBe(id);

  const [late, later] = [peer.newId(), peer.newId()];
  const entry = literal("x-late", "late", "indexing");
  peer.send(headers(late, Buffer.concat([VERSION, entry])), wire.data(late, Buffer.alloc(16_000)));
  peer.send(headers(later, Buffer.concat([VERSION, indexed(62)]), WHOLE)); // needs late's block
  peer.send(wire.windowUpdate(id, 10_000));
  const answered = await peer.next(Type.DATA, id);
  expect(answered.flags & Flag.END_STREAM).toBe(Flag.END_STREAM);
  await peer.end();
}, 20_000);
