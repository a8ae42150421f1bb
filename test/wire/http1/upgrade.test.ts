/** Switching to another protocol, fields that every answer has, and answers that are cut off. */
import { describe, expect, test } from "bun:test";
import { KIB } from "../../../src/base/units.ts";
import type { BodyReader, HttpHandler, HttpResponse } from "../../../src/wire/http1/http.ts";
import { HTTP_LIMITS, OUTPUT_HIGH_BYTES } from "../../../src/wire/http1/limits.ts";
import { Driver } from "./driver.ts";

const UPGRADE =
  "GET /w HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: x\r\n\r\n";

class Taker implements BodyReader {
  text = "";
  ended = 0;
  held = 0;
  onData(bytes: Uint8Array, start: number, end: number): void {
    this.text += Buffer.from(bytes.subarray(start, end)).toString("latin1");
  }
  onEnd(): void {
    this.ended++;
  }
}

function upgraded(onResponse: (response: HttpResponse) => void = () => {}) {
  const taker = new Taker();
  const driver = new Driver((_, response) => {
    expect(response.upgrade(["upgrade", "x"], taker)).toBe(true);
    onResponse(response);
  });
  return { taker, driver, response: () => driver.seen[0]?.response as HttpResponse };
}

describe("an upgrade", () => {
  test("answers 101, and both directions are raw from then on", () => {
    const { taker, driver, response } = upgraded();
    driver.send(UPGRADE);
    expect(driver.take()).toBe(
      "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: x\r\n\r\n",
    );
    driver.send("GET / HTTP/1.1\r\n");
    response().write("raw");
    expect([taker.text, driver.take()]).toEqual(["GET / HTTP/1.1\r\n", "raw"]);
    response().finish();
    expect(driver.connection.closing).toBe(true);
  });

  test("hands on what came behind the head, however it was cut", () => {
    for (const step of [1, 7, Number.POSITIVE_INFINITY]) {
      const { taker, driver } = upgraded();
      driver.send(`${UPGRADE}first bytes`, step);
      expect(taker.text).toBe("first bytes");
    }
  });

  test("is not for a request that did not ask, has a body, or speaks HTTP/1.0", () => {
    const seen: boolean[] = [];
    const handler: HttpHandler = (_, response) => {
      seen.push(response.upgrade([], new Taker()));
      response.end(200, [], "");
    };
    for (const text of [
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n",
      UPGRADE.replace("1.1", "1.0"),
      UPGRADE.replace("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\nx"),
    ]) {
      expect(new Driver(handler).send(text).take()).toStartWith("HTTP/1.1 200");
    }
    expect(seen).toEqual([false, false, false, false, false]);
  });

  test("tells its handler that the client has gone, or that we go", () => {
    let cancels = 0;
    const { taker, driver } = upgraded((response) => {
      response.onCancel = () => cancels++;
    });
    driver.send(UPGRADE);
    driver.connection.shutdown(1);
    expect([taker.ended, cancels]).toEqual([1, 0]);
    driver.connection.closed(2);
    expect([taker.ended, cancels, driver.connection.closing]).toEqual([1, 1, true]);
  });

  test("may rest as long as it likes, but not in the middle of something", () => {
    const { taker, driver } = upgraded();
    driver.send(UPGRADE).take();
    driver.tickAt(10 * HTTP_LIMITS.idleMsMax);
    expect(driver.connection.closing).toBe(false);
    taker.held = 1;
    driver.send("x");
    driver.tickAt(driver.nowMs + HTTP_LIMITS.bodyMsMax - 1);
    expect(driver.connection.closing).toBe(false);
    driver.tickAt(driver.nowMs + 1);
    expect(driver.connection.closing).toBe(true);
  });

  test("is not read while its output waits, and says when there is room", () => {
    let drains = 0;
    const { driver, response } = upgraded((given) => {
      given.onDrain = () => drains++;
    });
    driver.send(UPGRADE);
    response().write(Buffer.alloc(OUTPUT_HIGH_BYTES + KIB));
    driver.connection.onWritable(1);
    expect([driver.connection.paused, response().writable, drains]).toEqual([true, false, 0]);
  });
});

test("fields that were added come first, in every kind of answer", () => {
  const whole = new Driver((_, response) => {
    response.addFields(["x-a", "1"]);
    response.addFields(["x-b", "2"]);
    response.end(200, ["x-c", "3"], "");
  });
  expect(whole.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").take()).toBe(
    "HTTP/1.1 200 OK\r\nx-a: 1\r\nx-b: 2\r\nx-c: 3\r\ncontent-length: 0\r\n\r\n",
  );
});

test("an answer that is cut off has no end, and neither has its connection a future", () => {
  let cancels = 0;
  const driver = new Driver((_, response) => {
    response.onCancel = () => cancels++;
    response.start(200, []);
    response.write("half");
  });
  driver.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  expect(driver.take()).toEndWith("4\r\nhalf\r\n");
  driver.seen[0]?.response.abort();
  expect([driver.take(), driver.connection.closing, cancels]).toEqual(["", true, 0]);
});
