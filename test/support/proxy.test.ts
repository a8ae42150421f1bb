/** The bad network itself: what it does to bytes and connections, and that it stops doing so. */
import { afterEach, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { until } from "./processes.ts";
import { Direction, TcpProxy } from "./proxy.ts";

/** Sends back what it gets, and counts. */
class Echo implements Disposable {
  readonly sockets: Socket[] = [];
  readonly failures: string[] = [];
  ends = 0;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.sockets.push(socket);
      socket.on("data", (bytes) => socket.write(bytes));
      socket.on("error", (error) =>
        this.failures.push((error as NodeJS.ErrnoException).code ?? ""),
      );
      socket.on("end", () => {
        this.ends++;
        socket.end("bye");
      });
    });
  }

  static async start(): Promise<Echo> {
    const server = createServer({ allowHalfOpen: true });
    const echo = new Echo(server);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return echo;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  [Symbol.dispose](): void {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
  }
}

/** The connecting side. */
class Caller {
  readonly socket: Socket;
  got: Buffer = Buffer.alloc(0);
  connected = false;
  ended = false;
  failure = "";

  constructor(port: number) {
    this.socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    this.socket.on("connect", () => {
      this.connected = true;
    });
    this.socket.on("data", (bytes: Buffer) => {
      this.got = Buffer.concat([this.got, bytes]);
    });
    this.socket.on("end", () => {
      this.ended = true;
    });
    this.socket.on("error", (error) => {
      this.failure = (error as NodeJS.ErrnoException).code ?? String(error);
    });
  }

  async say(text: string): Promise<void> {
    const length = this.got.length + text.length;
    this.socket.write(text);
    await until(`${text} came back`, () => this.got.length >= length, 5000);
  }
}

interface Scene {
  readonly echo: Echo;
  readonly there: Direction;
  readonly back: Direction;
  readonly proxy: TcpProxy;
  call(): Caller;
}

let open: DisposableStack | undefined;
afterEach(() => {
  open?.dispose();
  open = undefined;
});

async function scene(): Promise<Scene> {
  const stack = new DisposableStack();
  open = stack;
  const echo = stack.use(await Echo.start());
  const [there, back] = [new Direction(), new Direction()];
  const target = { hostname: "127.0.0.1", port: echo.port };
  const proxy = stack.use(new TcpProxy({ target, route: () => ({ there, back }) }));
  const call = (): Caller => {
    const caller = new Caller(proxy.port);
    stack.defer(() => caller.socket.destroy());
    return caller;
  };
  return { echo, there, back, proxy, call };
}

/** Long enough that what can happen at once has happened. */
const MOMENT_MS = 100;

describe("a good network", () => {
  test("carries everything in order, also a megabyte at once", async () => {
    const { call, there, back } = await scene();
    const caller = call();
    const sent = Buffer.alloc(3_000_000, "0123456789");
    caller.socket.write(sent);
    await until("all came back", () => caller.got.length === sent.length);
    expect(caller.got.equals(sent)).toBe(true);
    expect(there.bytes).toBe(sent.length);
    expect(back.bytes).toBe(sent.length);
  });

  test("passes on that a side says no more, and what the other then says", async () => {
    const { call, proxy } = await scene();
    const caller = call();
    await caller.say("hello");
    caller.socket.end();
    await until("the end came back", () => caller.ended);
    expect(caller.got.toString()).toBe("hellobye");
    await until("the proxy forgot it", () => proxy.connectionCount === 0);
  });

  test("passes on that nobody listens, and that a side broke off", async () => {
    const { call, echo, proxy } = await scene();
    const caller = call();
    await caller.say("hello");
    echo.sockets[0]?.resetAndDestroy();
    await until("broken off", () => caller.failure === "ECONNRESET");
    echo[Symbol.dispose]();
    const late = call();
    await until("refused", () => late.failure === "ECONNRESET");
    expect(proxy.connectionCount).toBe(0);
  });
});

describe("slow", () => {
  test("a delay holds for each way alone, keeps the order, and ends", async () => {
    const { call, there, back } = await scene();
    const caller = call();
    await caller.say("warm");
    there.set({ delayMs: 150, jitterMs: 30 });
    const fromMs = performance.now();
    for (let i = 0; i < 20; i++) caller.socket.write(String.fromCharCode(97 + i));
    await until("all came back", () => caller.got.length === 24);
    expect(performance.now() - fromMs).toBeGreaterThanOrEqual(150);
    expect(caller.got.toString()).toBe("warmabcdefghijklmnopqrst");
    back.set({ delayMs: 150 });
    const bothMs = performance.now();
    await caller.say("both");
    expect(performance.now() - bothMs).toBeGreaterThanOrEqual(300);
    there.heal();
    back.heal();
    const healedMs = performance.now();
    await caller.say("none");
    expect(performance.now() - healedMs).toBeLessThan(150);
  });

  test("a narrow way takes its time for each byte", async () => {
    const { call, there } = await scene();
    const caller = call();
    there.set({ bytesPerSecond: 100_000 });
    const fromMs = performance.now();
    await caller.say("x".repeat(30_000));
    expect(performance.now() - fromMs).toBeGreaterThanOrEqual(295);
  });
});

describe("broken", () => {
  for (const way of ["there", "back"] as const) {
    test(`a cut ${way} stops that way only, and what was sent arrives afterwards`, async () => {
      const { call, echo, ...ways } = await scene();
      const caller = call();
      await caller.say("before");
      ways[way].set({ cut: true });
      let heard = 0;
      echo.sockets[0]?.on("data", (bytes) => {
        heard += bytes.length;
      });
      caller.socket.write("during");
      await Bun.sleep(MOMENT_MS);
      expect(heard).toBe(way === "there" ? 0 : 6);
      expect(caller.got.toString()).toBe("before");
      ways[way].heal();
      await until("it came", () => caller.got.toString() === "beforeduring");
    });
  }

  test("nobody can connect over a cut, whichever way, until it is healed", async () => {
    const { call, echo, there, back } = await scene();
    for (const cut of [there, back]) {
      const before = echo.sockets.length;
      cut.set({ cut: true });
      const caller = call();
      caller.socket.write("hello");
      await Bun.sleep(MOMENT_MS);
      expect(echo.sockets.length).toBe(before);
      cut.heal();
      await until("connected after all", () => caller.got.toString() === "hello");
    }
  });

  test("over a cut nobody learns that the other side is gone", async () => {
    const { call, echo, there } = await scene();
    const caller = call();
    await caller.say("before");
    there.set({ cut: true });
    caller.socket.resetAndDestroy();
    await Bun.sleep(MOMENT_MS);
    expect(echo.failures).toEqual([]);
    there.heal();
    await until("it learns", () => echo.failures.includes("ECONNRESET"));
  });

  test("reset() breaks off at both sides; only what goes over the direction", async () => {
    const { call, echo, proxy, there } = await scene();
    const caller = call();
    await caller.say("before");
    proxy.reset(new Direction());
    await caller.say("still");
    proxy.reset(there);
    await until("both learn", () => caller.failure !== "" && echo.failures.length > 0);
    expect([caller.failure, ...echo.failures]).toEqual(["ECONNRESET", "ECONNRESET"]);
    await call().say("anew");
  });

  test("a stalled way is not read: the sender's buffers fill up", async () => {
    const { call, there } = await scene();
    const caller = call();
    await caller.say("before");
    there.set({ stalled: true });
    const block = Buffer.alloc(1_000_000);
    for (let i = 0; i < 20; i++) caller.socket.write(block);
    await Bun.sleep(MOMENT_MS);
    expect(caller.got.length).toBe(6);
    expect(caller.socket.writableLength).toBeGreaterThan(1_000_000);
    there.heal();
    await until("all came back", () => caller.got.length === 20_000_006);
  });

  test("one bit is turned over, once", async () => {
    const { call, back } = await scene();
    const caller = call();
    await caller.say("before");
    back.flipBit();
    await caller.say("\0\0\0\0");
    const bits = caller.got
      .subarray(6)
      .reduce((sum, byte) => sum + byte.toString(2).split("1").length - 1, 0);
    expect(bits).toBe(1);
    await caller.say("after");
    expect(caller.got.subarray(10).toString()).toBe("after");
  });
});

test("a connection without a route is broken off", async () => {
  const proxy = new TcpProxy({
    target: { hostname: "127.0.0.1", port: 1 },
    route: () => undefined,
  });
  const caller = new Caller(proxy.port);
  await until("broken off", () => caller.failure === "ECONNRESET");
  proxy[Symbol.dispose]();
});
