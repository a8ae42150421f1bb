import { describe, expect, test } from "bun:test";
import { LINGER_MS, Link, type LinkHost, WRITE_STALL_MS } from "../../src/net/link.ts";
import { OUTPUT_LOW_BYTES } from "../../src/wire/connection.ts";
import { TOY_PAUSE_BYTES, ToyConnection } from "./toy-connection.ts";

/** A socket whose kernel takes `room` bytes. */
class FakeSocket {
  room = Number.POSITIVE_INFINITY;
  gone = false;
  written = "";
  log: string[] = [];

  write(data: Uint8Array, offset: number, length: number): number {
    if (this.gone) return -1;
    const count = Math.min(length, this.room);
    this.room -= count;
    this.written += Buffer.from(data.subarray(offset, offset + count)).toString("latin1");
    this.log.push(`write ${count}`);
    return count;
  }
  shutdown(): void {
    this.log.push("shutdown");
  }
  terminate(): void {
    this.gone = true;
    this.log.push("terminate");
  }
  pause(): void {
    this.log.push("pause");
  }
  resume(): void {
    this.log.push("resume");
  }
}

class FakeHost implements LinkHost {
  now = 0;
  dirty: Link[] = [];
  forgotten = 0;

  nowMs(): number {
    return this.now;
  }
  flushSoon(link: Link): void {
    this.dirty.push(link);
  }
  forget(): void {
    this.forgotten++;
  }
  endTurn(): void {
    for (const link of this.dirty.splice(0)) link.flush();
  }
}

function setup(factor = 1) {
  const host = new FakeHost();
  const socket = new FakeSocket();
  const connection = new ToyConnection(factor);
  const traffic = { receivedBytes: 0, sentBytes: 0 };
  const link = new Link(host, traffic, socket, 5000);
  return { host, socket, connection, traffic, link };
}

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

describe("link", () => {
  test("gives what was held to the connection and counts every byte once", () => {
    const { host, socket, connection, traffic, link } = setup();
    link.hold(bytes("a"));
    expect(Buffer.from(link.hold(bytes("b"))).toString()).toBe("ab");
    link.adopt(connection);
    link.receive(bytes("c"));
    host.endTurn();
    expect(connection.chunks).toEqual(["ab", "c"]);
    expect(socket.written).toBe("abc");
    expect(traffic).toEqual({ receivedBytes: 3, sentBytes: 3 });
  });

  test("writes once a turn, however often the connection produced (L1)", () => {
    const { host, socket, connection, link } = setup();
    link.adopt(connection);
    for (let i = 0; i < 10; i++) link.receive(bytes("x"));
    expect(host.dirty).toHaveLength(1);
    host.endTurn();
    expect(socket.log).toEqual(["write 10"]);
    link.receive(bytes("quit")); // has output and wants to close: both ask for a flush
    expect(host.dirty).toHaveLength(1);
  });

  test("flushes what the connection said before it was adopted", () => {
    const { host, socket, connection, link } = setup();
    connection.say("hello");
    link.adopt(connection);
    host.endTurn();
    expect(socket.written).toBe("hello");
  });

  test("keeps the rest of a short write for drain, and writes nothing in between", () => {
    const { host, socket, connection, link } = setup();
    link.adopt(connection);
    socket.room = 3;
    link.receive(bytes("abcdef"));
    host.endTurn();
    link.receive(bytes("gh"));
    host.endTurn();
    expect(socket.written).toBe("abc");
    socket.room = 2;
    link.drain();
    expect(socket.written).toBe("abcde");
    socket.room = 100;
    link.drain();
    expect(socket.written).toBe("abcdefgh");
    link.receive(bytes("i"));
    host.endTurn();
    expect(socket.written).toBe("abcdefghi");
  });

  test("a flush that was asked for before the kernel filled up writes nothing", () => {
    const { host, socket, connection, link } = setup();
    link.adopt(connection);
    link.receive(bytes("abc"));
    socket.room = 1;
    link.peerEnded();
    host.endTurn();
    expect(socket.log).toEqual(["write 1"]);
  });

  test("a link that has nothing to say is never overdue", () => {
    const { host, socket, connection, link } = setup();
    link.adopt(connection);
    socket.room = 1;
    link.receive(bytes("abc"));
    host.endTurn();
    socket.room = 10;
    link.drain();
    link.tick(1e9);
    expect(socket.gone).toBe(false);
  });

  test("end() says what it can, then FIN, and cancels what runs", () => {
    const { socket, connection, link } = setup();
    link.adopt(connection);
    link.receive(bytes("abc"));
    link.end();
    expect(socket.log).toEqual(["write 3", "shutdown"]);
    expect(connection.closedCount).toBe(1);
    const opening = setup();
    opening.link.end();
    expect(opening.socket.gone).toBe(true);
  });

  test("calls onWritable after a flush that leaves less than the low mark", () => {
    const { host, socket, connection, link } = setup();
    link.adopt(connection);
    socket.room = 10;
    link.receive(new Uint8Array(OUTPUT_LOW_BYTES + 10));
    host.endTurn();
    expect(connection.writableCount).toBe(0);
    socket.room = 1;
    link.drain();
    expect(connection.writableCount).toBe(1);
  });

  test("stops reading while the connection is paused, and goes on after (L3)", () => {
    const { host, socket, connection, link } = setup();
    link.adopt(connection);
    socket.room = 0;
    link.receive(new Uint8Array(TOY_PAUSE_BYTES + 1));
    host.endTurn();
    expect(socket.log).toEqual(["pause", "write 0"]);
    socket.room = 2;
    link.drain();
    expect(socket.log).toEqual(["pause", "write 0", "write 2", "resume"]);
  });

  test("writes all, says FIN, and throws away what comes until the peer's", () => {
    const { host, socket, connection, traffic, link } = setup();
    link.adopt(connection);
    socket.room = 2;
    link.receive(bytes("quit"));
    host.endTurn();
    expect(socket.log).toEqual(["write 2"]);
    socket.room = 10;
    link.drain();
    expect(socket.log).toEqual(["write 2", "write 2", "shutdown"]);
    expect(connection.closedCount).toBe(1);
    link.receive(bytes("late"));
    connection.say("late");
    expect(connection.chunks).toEqual(["quit"]);
    expect(host.dirty).toEqual([]);
    expect(traffic.receivedBytes).toBe(8);
    link.socketClosed();
    expect([connection.closedCount, host.forgotten, link.closed]).toEqual([1, 1, true]);
  });

  test("a lingering peer is cut in time", () => {
    const { host, socket, connection, link } = setup();
    link.adopt(connection);
    link.shutdown();
    host.endTurn();
    expect(socket.written).toBe("bye");
    host.now = LINGER_MS - 1;
    link.tick(host.now);
    expect(socket.gone).toBe(false);
    host.now = LINGER_MS;
    link.tick(host.now);
    expect([socket.gone, host.forgotten]).toEqual([true, 1]);
  });

  test("one that never says its protocol is cut in time", () => {
    const { socket, link } = setup();
    link.tick(4999);
    expect(socket.gone).toBe(false);
    link.tick(5000);
    expect(socket.gone).toBe(true);
  });

  test("one that takes no byte for too long is cut; each byte taken gives it new time", () => {
    const { host, socket, connection, link } = setup();
    link.adopt(connection);
    socket.room = 1;
    link.receive(bytes("abc"));
    host.endTurn();
    host.now = WRITE_STALL_MS - 1;
    socket.room = 1;
    link.drain();
    link.tick(WRITE_STALL_MS + 1);
    expect(socket.gone).toBe(false);
    link.tick(2 * WRITE_STALL_MS - 1);
    expect([socket.gone, connection.closedCount]).toEqual([true, 1]);
  });

  test("a connection that threw away what its peer does not take is cut at once", () => {
    const { host, socket, connection, link } = setup();
    link.adopt(connection);
    socket.room = 1;
    link.receive(bytes("abc"));
    host.endTurn();
    connection.closing = true;
    link.tick(0);
    expect(link.closed).toBe(false);
    connection.output.discard();
    link.tick(0);
    expect([link.closed, connection.closedCount]).toEqual([true, 1]);
    expect(socket.log).toEqual(["write 1", "terminate"]);
  });

  test("a socket that is gone takes nothing, and closed() runs once (L2)", () => {
    const { host, socket, connection, link } = setup();
    link.adopt(connection);
    socket.gone = true;
    link.receive(bytes("abc"));
    host.endTurn();
    link.drain();
    link.socketClosed();
    link.socketClosed();
    link.terminate();
    link.peerEnded();
    link.tick(1e9);
    expect([connection.closedCount, host.forgotten, socket.written]).toEqual([1, 1, ""]);
  });

  test("what is pending when the peer ends goes out at once", () => {
    const { socket, connection, link } = setup();
    link.adopt(connection);
    link.receive(bytes("abc"));
    link.peerEnded();
    expect(socket.written).toBe("abc");
  });
});
