/** Answers, their order and framing, streams, deadlines, and the ways a connection ends. */
import { describe, expect, test } from "bun:test";
import type { HttpHandler } from "../../../src/wire/http1/http.ts";
import { HTTP_LIMITS, INPUT_BYTES_MAX } from "../../../src/wire/http1/limits.ts";
import { routeRequests } from "../../../src/wire/http1/routes.ts";
import { Driver, statuses } from "./driver.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const later: HttpHandler = () => {};
const hello: HttpHandler = (_, response) => response.end(200, ["x-a", "b"], "hello");

describe("answers", () => {
  test("whole, to the byte", () => {
    expect(new Driver(hello).send(GET).take()).toBe(
      "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 5\r\n\r\nhello",
    );
  });

  test("text goes out as UTF-8, and its length is that of the bytes", () => {
    const driver = new Driver((_, response) => response.end(200, [], "é€"));
    const answer = driver.send(GET).take();
    expect(answer).toContain("content-length: 5\r\n");
    expect(answer.endsWith(Buffer.from("é€").toString("latin1"))).toBe(true);
  });

  test("HEAD has the length but not the body", () => {
    const driver = new Driver(hello).send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(driver.take()).toBe("HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 5\r\n\r\n");
  });

  test("204 and 304 have neither", () => {
    for (const status of [204, 304]) {
      const driver = new Driver((_, response) => response.end(status, [], "")).send(GET);
      expect(driver.take()).not.toContain("content-length");
      const wrong = new Driver((_, response) => response.end(status, [], "x"));
      expect(() => wrong.send(GET)).toThrow("no body");
    }
  });

  test("what would split an answer in two is our own mistake", () => {
    const bad: [string, string][] = [
      ["x", "a\r\nset-cookie: b"],
      ["x", "a\nb"],
      ["x", "a\0"],
      ["x\r\n", "a"],
      ["X", "a"],
      ["x", "€"],
      ["content-length", "5"],
      ["transfer-encoding", "chunked"],
    ];
    for (const fields of bad) {
      const driver = new Driver((_, response) => response.end(200, fields, ""));
      expect(() => driver.send(GET)).toThrow("field");
    }
  });

  test("a second answer is our own mistake", () => {
    const driver = new Driver(hello).send(GET);
    const response = driver.seen[0]?.response;
    expect(() => response?.end(200, [], "")).toThrow("twice");
    expect(() => response?.start(200, [])).toThrow("twice");
    expect(() => response?.write("x")).toThrow("outside");
    expect(() => response?.finish()).toThrow("not a streamed");
  });

  test("a status that is no final one is our own mistake", () => {
    for (const status of [100, 199, 600]) {
      const driver = new Driver((_, response) => response.end(status, [], ""));
      expect(() => driver.send(GET)).toThrow("final status");
    }
  });
});

describe("pipelining", () => {
  test("one request at a time, in order, however late the answers", () => {
    const driver = new Driver(later).send(get("/1") + get("/2") + get("/3"));
    const order: string[] = [];
    for (let count = 1; count <= 3; count++) {
      expect(driver.seen).toHaveLength(count);
      const { request, response } = driver.seen[count - 1] as (typeof driver.seen)[0];
      order.push(request.path);
      response.end(200, [], request.path);
      expect(driver.seen).toHaveLength(count); // not while the handler is answering
      const head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
      expect(driver.take()).toBe(head + request.path);
    }
    expect(order).toEqual(["/1", "/2", "/3"]);
  });

  test("an answer that ends without a byte wakes net, which asks for the next request", () => {
    const driver = new Driver(later).send(GET.replace("GET", "HEAD") + GET);
    driver.seen[0]?.response.start(200, []);
    driver.take();
    const { wakes } = driver;
    driver.seen[0]?.response.finish();
    expect(driver.wakes).toBe(wakes + 1);
    driver.take();
    expect(driver.seen).toHaveLength(2);
  });

  test("what waits behind an answer we owe makes net pause, and too much of it ends us", () => {
    const driver = new Driver(later).send(GET);
    expect(driver.connection.paused).toBe(false);
    driver.send(Buffer.alloc(65_536, 0x61));
    expect(driver.connection.paused).toBe(true);
    driver.send(Buffer.alloc(INPUT_BYTES_MAX - 65_536, 0x61));
    expect(driver.connection.closing).toBe(false);
    driver.send("a");
    expect(driver.connection.closing).toBe(true);
    expect(driver.seen[0]?.response.cancelled).toBe(true);
  });

  test("a client that does not read is not answered without bound", () => {
    const body = "x".repeat(100_000);
    const driver = new Driver((_, response) => response.end(200, [], body));
    driver.send(GET.repeat(50));
    expect(driver.seen).toHaveLength(3); // the third passes 256 KiB
    expect(driver.connection.paused).toBe(true);
    driver.tickAt(HTTP_LIMITS.headMsMax + 1_000);
    expect(driver.connection.closing).toBe(false); // the delay is not the next request's
    let answered = 0;
    for (let round = 0; round < 20; round++) answered += statuses(driver.take()).length;
    expect(answered).toBe(50);
    expect(driver.connection.paused).toBe(false);
  });

  test("thousands of requests in one piece do not deepen the stack", () => {
    const driver = new Driver((_, response) => response.end(204, [], ""));
    driver.send(GET.repeat(5000));
    expect(driver.seen).toHaveLength(5000);
  });
});

describe("keep-alive", () => {
  const cases: readonly [what: string, bytes: string, closes: boolean, says: RegExp][] = [
    ["HTTP/1.1", GET, false, /OK\r\nx-a: b\r\ncontent-length: 5/],
    [
      "HTTP/1.1 with close",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
      true,
      /connection: close/,
    ],
    [
      "close wins over keep-alive",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
      true,
      /connection: close/,
    ],
    ["HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", true, /connection: close/],
    [
      "HTTP/1.0 with keep-alive",
      "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
      false,
      /connection: keep-alive/,
    ],
  ];
  for (const [what, bytes, closes, says] of cases) {
    test(what, () => {
      const driver = new Driver(hello).send(bytes);
      expect(driver.connection.closing).toBe(closes);
      driver.send(GET);
      expect(driver.seen).toHaveLength(closes ? 1 : 2);
      expect(driver.take()).toMatch(says);
    });
  }
});

describe("Expect: 100-continue", () => {
  const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n";
  const CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";

  test("is answered once, before the body", () => {
    const driver = new Driver(hello).send(head);
    expect(driver.take()).toBe(CONTINUE);
    driver.send("he");
    expect(driver.take()).toBe("");
    expect(statuses(driver.send("llo").take())).toEqual([200]);
  });

  test("is not answered when the body is already here, or is empty, or in HTTP/1.0", () => {
    expect(new Driver(hello).send(`${head}h`).take()).toBe("");
    const empty = head.replace("Length: 5", "Length: 0");
    expect(statuses(new Driver(hello).send(empty).take())).toEqual([200]);
    const old = head.replace("HTTP/1.1", "HTTP/1.0");
    expect(new Driver(hello).send(old).take()).toBe("");
  });

  test("a body over the bound is refused instead", () => {
    const large = head.replace("Length: 5", "Length: 99999999");
    expect(statuses(new Driver(hello).send(large).take())).toEqual([413]);
  });

  test("waits for its turn behind an earlier answer", () => {
    const driver = new Driver(later).send(GET + head);
    expect(driver.take()).toBe("");
    driver.seen[0]?.response.end(204, [], "");
    expect(driver.take()).toBe("HTTP/1.1 204 No Content\r\n\r\n");
    expect(driver.take()).toBe(CONTINUE);
  });
});

describe("streams", () => {
  test("chunks, to the byte", () => {
    const driver = new Driver(later).send(GET);
    const response = driver.seen[0]?.response;
    response?.start(200, ["content-type", "application/json"]);
    expect(driver.take()).toBe(
      "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    );
    response?.write("x".repeat(17));
    response?.write("");
    response?.write(Buffer.from("ab"));
    expect(driver.take()).toBe(`11\r\n${"x".repeat(17)}\r\n2\r\nab\r\n`);
    response?.finish();
    expect(driver.take()).toBe("0\r\n\r\n");
    expect(driver.send(GET).seen).toHaveLength(2);
  });

  test("HEAD gets the head alone", () => {
    const driver = new Driver(later).send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    const response = driver.seen[0]?.response;
    response?.start(200, []);
    response?.write("x");
    response?.finish();
    expect(driver.take()).toBe("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
  });

  test("HTTP/1.0 gets bytes up to the close, even where it asked to keep alive", () => {
    const driver = new Driver(later);
    driver.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const response = driver.seen[0]?.response;
    response?.start(200, []);
    response?.write("abc");
    expect(driver.take()).toBe("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc");
    expect(driver.connection.closing).toBe(false);
    const wakes = driver.wakes;
    response?.finish();
    expect(driver.connection.closing).toBe(true);
    expect(driver.wakes).toBe(wakes + 1); // nothing to write, but net must look
    expect(driver.take()).toBe("");
  });

  test("204 has no body to be chunked", () => {
    const driver = new Driver(later).send(GET);
    const response = driver.seen[0]?.response;
    response?.start(204, []);
    response?.write("x");
    response?.finish();
    expect(driver.take()).toBe("HTTP/1.1 204 No Content\r\n\r\n");
    expect(driver.connection.closing).toBe(false);
  });

  test("tell when to hold back, and when to go on", () => {
    const driver = new Driver(later).send(GET);
    const response = driver.seen[0]?.response;
    if (response === undefined) throw new Error("no response");
    let drains = 0;
    response.onDrain = () => {
      drains++;
    };
    response.start(200, []);
    response.write("x");
    driver.take();
    expect(drains).toBe(0); // never was full
    expect(response.writable).toBe(true);
    response.write("x".repeat(300_000));
    expect(response.writable).toBe(false);
    expect(response.queuedBytes).toBeGreaterThan(300_000);
    driver.connection.output.advance(10);
    driver.connection.onWritable(0);
    expect(drains).toBe(0); // still full
    driver.take();
    expect(drains).toBe(1);
    expect(response.writable).toBe(true);
    driver.take();
    expect(drains).toBe(1);
  });
});

describe("deadlines", () => {
  test("a new connection owes a request within five seconds, else silence", () => {
    const driver = new Driver().tickAt(4_999);
    driver.take(); // a flush of nothing gives no time
    expect(driver.connection.closing).toBe(false);
    driver.tickAt(5_000);
    expect(driver.connection.closing).toBe(true);
    expect(driver.take()).toBe("");
  });

  test("a head that drips is answered 408", () => {
    const driver = new Driver();
    for (let at = 0; at < 50; at++) {
      driver.tickAt(at * 100);
      driver.send("x");
    }
    expect(driver.connection.closing).toBe(false);
    driver.tickAt(5_000);
    expect(statuses(driver.take())).toEqual([408]);
    expect(driver.connection.closing).toBe(true);
  });

  test("a second head has its own five seconds", () => {
    const driver = new Driver(hello).send(GET);
    driver.take();
    driver.tickAt(60_000).send("GET");
    driver.tickAt(64_999).send(" ");
    expect(driver.connection.closing).toBe(false);
    driver.tickAt(65_000);
    expect(statuses(driver.take())).toEqual([408]);
  });

  test("a head that came with the last request counts from its answer", () => {
    const driver = new Driver(later).send(`${GET}GET`);
    driver.tickAt(50_000);
    expect(driver.connection.closing).toBe(false); // we owe the answer
    driver.seen[0]?.response.end(204, [], "");
    driver.take();
    driver.tickAt(54_999);
    expect(driver.connection.closing).toBe(false);
    driver.tickAt(55_000);
    expect(driver.connection.closing).toBe(true);
  });

  test("a body has thirty seconds from the end of its head", () => {
    const driver = new Driver().tickAt(4_000);
    driver.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    driver.tickAt(33_999).send("a");
    expect(driver.connection.closing).toBe(false);
    driver.tickAt(34_000);
    expect(statuses(driver.take())).toEqual([408]);
  });

  test("an idle connection is closed without a word", () => {
    const driver = new Driver(hello).tickAt(1_000).send(GET);
    driver.take();
    driver.tickAt(1_000 + HTTP_LIMITS.idleMsMax - 1);
    expect(driver.connection.closing).toBe(false);
    driver.tickAt(1_000 + HTTP_LIMITS.idleMsMax);
    expect(driver.connection.closing).toBe(true);
    expect(driver.take()).toBe("");
  });

  test("a peer that takes nothing for thirty seconds is dropped", () => {
    const driver = new Driver(later).send(GET);
    const response = driver.seen[0]?.response;
    response?.start(200, []);
    response?.write("x".repeat(1000));
    let cancels = 0;
    if (response !== undefined) {
      response.onCancel = () => {
        cancels++;
      };
    }
    driver.tickAt(29_000);
    driver.connection.output.advance(1); // it lives
    driver.tickAt(29_100);
    driver.tickAt(59_000);
    expect(driver.connection.closing).toBe(false);
    driver.tickAt(59_100);
    expect(driver.connection.closing).toBe(true);
    expect(driver.connection.output.pending).toBe(0);
    expect(response?.cancelled).toBe(true);
    expect(cancels).toBe(1);
  });

  test("so is one that does not take our last words", () => {
    const driver = new Driver().send("nonsense\r\n");
    expect(driver.connection.closing).toBe(true);
    expect(driver.connection.output.pending).toBeGreaterThan(0);
    driver.tickAt(100).tickAt(30_000);
    expect(driver.connection.output.pending).toBe(0);
  });

  test("output that begins to wait late has its own thirty seconds", () => {
    const driver = new Driver(later).send(GET);
    for (let at = 100; at <= 100_000; at += 100) driver.tickAt(at);
    driver.seen[0]?.response.end(200, [], "x");
    driver.tickAt(129_900);
    expect(driver.connection.closing).toBe(false);
    driver.tickAt(130_000);
    expect(driver.connection.closing).toBe(true);
  });
});

describe("ends", () => {
  test("a socket that goes away cancels the answer we owe, once", () => {
    const driver = new Driver(later).send(GET + GET);
    const response = driver.seen[0]?.response;
    if (response === undefined) throw new Error("no response");
    let cancels = 0;
    response.onCancel = () => {
      cancels++;
      response.end(500, [], "ignored");
    };
    driver.connection.closed(1);
    driver.connection.closed(2);
    expect(cancels).toBe(1);
    expect(response.cancelled).toBe(true);
    response.start(200, []);
    response.write("x");
    response.finish();
    response.end(200, [], "x");
    expect(driver.connection.output.pending).toBe(0);
    expect(driver.seen).toHaveLength(1); // the second was never begun
    driver.connection.receive(Buffer.from(GET), 3);
    expect(driver.seen).toHaveLength(1);
  });

  test("shutdown closes an idle connection at once", () => {
    const driver = new Driver(hello).send(GET);
    driver.take();
    driver.connection.shutdown(1);
    expect(driver.connection.closing).toBe(true);
  });

  test("shutdown lets the request in hand finish, and says that it is the last", () => {
    const driver = new Driver(later).send(GET);
    driver.connection.shutdown(1);
    expect(driver.connection.closing).toBe(false);
    driver.seen[0]?.response.end(200, [], "x");
    expect(driver.take()).toContain("connection: close");
    expect(driver.connection.closing).toBe(true);
  });

  test("a stream that starts after shutdown says that it is the last", () => {
    const driver = new Driver(later).send(GET);
    driver.connection.shutdown(1);
    driver.seen[0]?.response.start(200, []);
    expect(driver.take()).toContain("connection: close");
  });

  test("shutdown in the middle of a stream closes at its end", () => {
    const driver = new Driver(later).send(GET);
    const response = driver.seen[0]?.response;
    response?.start(200, []);
    driver.connection.shutdown(1);
    response?.write("x");
    response?.finish();
    expect(driver.connection.closing).toBe(true);
    expect(driver.take().endsWith("0\r\n\r\n")).toBe(true);
  });

  test("shutdown in the middle of a head answers it", () => {
    const driver = new Driver(hello).send(GET.slice(0, 10));
    driver.connection.shutdown(1);
    expect(driver.connection.closing).toBe(false);
    expect(statuses(driver.send(GET.slice(10)).take())).toEqual([200]);
    expect(driver.connection.closing).toBe(true);
  });

  test("net is woken once for answers that come together", () => {
    const driver = new Driver(hello).send(GET + GET + GET);
    expect(driver.wakes).toBe(1);
    driver.take();
    driver.send(GET);
    expect(driver.wakes).toBe(2);
  });

  test("what a handler throws passes through", () => {
    const driver = new Driver(() => {
      throw new Error("handler broke");
    });
    expect(() => driver.send(GET)).toThrow("handler broke");
  });
});

describe("routes", () => {
  const handler = routeRequests([
    { path: "/health", method: "GET", handler: hello },
    { path: "/health", method: "POST", handler: (_, response) => response.end(202, [], "") },
    { path: "/put", method: "PUT", handler: hello },
  ]);
  const ask = (method: string, path: string, through = handler): string =>
    new Driver(through).send(`${method} ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).take();

  test("go by path and method", () => {
    expect(ask("GET", "/health")).toMatch(/ 200 .*hello$/s);
    expect(ask("GET", "/health?x=1")).toMatch(/ 200 /);
    expect(ask("HEAD", "/health")).toMatch(/ 200 .*\r\n\r\n$/s);
    expect(ask("POST", "/health")).toMatch(/ 202 /);
  });

  test("404 for another path, also for names that objects have", () => {
    for (const path of ["/", "/health/", "/healthx", "//health", "/__proto__", "/%68ealth"]) {
      expect(ask("GET", path)).toMatch(/ 404 /);
    }
    expect(ask("OPTIONS", "*")).toMatch(/ 404 /);
  });

  test("405 with the methods that there are", () => {
    expect(ask("DELETE", "/health")).toMatch(/ 405 .*\r\nallow: GET, HEAD, POST\r\n/s);
    expect(ask("GET", "/put")).toMatch(/ 405 .*\r\nallow: PUT\r\n/s);
  });

  test("HEAD may have a route of its own", () => {
    const head: HttpHandler = (_, response) => response.end(204, [], "");
    const routes = routeRequests([
      { path: "/a", method: "HEAD", handler: head },
      { path: "/a", method: "GET", handler: hello },
    ]);
    expect(ask("HEAD", "/a", routes)).toMatch(/ 204 /);
  });

  test("the rest may go elsewhere", () => {
    const both = routeRequests([{ path: "/a", method: "GET", handler: hello }], (_, response) =>
      response.end(204, [], ""),
    );
    expect(ask("GET", "/b", both)).toMatch(/ 204 /);
  });
});
