import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { connect as nodeConnect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Address, parseAddress } from "../../src/net/address.ts";
import { type Listener, type ListenOptions, listen, type Peer } from "../../src/net/listener.ts";
import { Network } from "../../src/net/network.ts";
import { rawClient } from "./raw-client.ts";
import { TOY_PAUSE_BYTES, ToyConnection } from "./toy-connection.ts";
import { until } from "./until.ts";

const LOOPBACK = parseAddress("127.0.0.1:0");
const directory = mkdtempSync(join(tmpdir(), "aether-net-"));
const listeners: Listener[] = [];

interface Toys {
  readonly listener: Listener;
  readonly network: Network;
  readonly http1: ToyConnection[];
  readonly http2: ToyConnection[];
}

async function toys(extra: Partial<ListenOptions> = {}, factor = 1): Promise<Toys> {
  const network = new Network();
  const http1: ToyConnection[] = [];
  const http2: ToyConnection[] = [];
  const make = (list: ToyConnection[]) => () => {
    const connection = new ToyConnection(factor);
    list.push(connection);
    return connection;
  };
  const listener = await listen(network, {
    address: LOOPBACK,
    http1: make(http1),
    http2: make(http2),
    ...extra,
  });
  listeners.push(listener);
  return { listener, network, http1, http2 };
}

afterEach(async () => {
  for (const listener of listeners.splice(0)) await listener.stop(0);
});

describe("listener", () => {
  test("takes the free port the system gave, and says which", async () => {
    const { listener } = await toys();
    const address = listener.address as Extract<Address, { kind: "tcp" }>;
    expect(address.port).toBeGreaterThan(0);
    expect(address.host).toBe("127.0.0.1");
  });

  test("tells HTTP/2 from HTTP/1, however the first bytes are split", async () => {
    const { listener, http1, http2 } = await toys();
    const split = await rawClient(listener.address);
    split.socket.write("PR");
    await until(() => listener.traffic.receivedBytes === 2, "the first bytes come");
    expect([http1.length, http2.length]).toEqual([0, 0]);
    split.socket.write("I * HT");
    await until(() => split.received() === "PRI * HT", "an echo");
    expect(http2[0]?.chunks).toEqual(["PRI * HT"]);
    const get = await rawClient(listener.address);
    get.socket.write("GET /health");
    await until(() => get.received() === "GET /health", "an echo");
    expect(http1[0]?.chunks).toEqual(["GET /health"]);
    expect(listener.traffic).toEqual({
      receivedBytes: 19,
      sentBytes: 19,
      acceptedCount: 2,
      refusedCount: 0,
      refusedPeer: "",
    });
  });

  test("listens on a unix socket, over one that a killed process left", async () => {
    const path = join(directory, "a.sock");
    const script = `Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data() {} } });
      process.kill(process.pid, "SIGKILL");`;
    Bun.spawnSync([process.execPath, "-e", script]);
    expect(existsSync(path)).toBe(true);
    const umask = process.umask(0);
    const { listener } = await toys({ address: parseAddress(`unix://${path}`) });
    expect(process.umask(umask)).toBe(0);
    expect(statSync(path).mode & 0o077).toBe(0);
    const client = await rawClient(listener.address);
    client.socket.write("hello");
    await until(() => client.received() === "hello", "an echo");
    const second = toys({ address: parseAddress(`unix://${path}`) });
    await expect(second).rejects.toThrow("a.sock");
    client.socket.write("hello");
    await until(() => client.received() === "hellohello", "the first still listens");
    await listener.stop(0);
    expect(existsSync(path)).toBe(false);
  });

  test("takes nobody who has reset his connection for a caller of this machine", async () => {
    const callers: string[] = [];
    const http1 = ({ address }: Peer): ToyConnection => {
      callers.push(address);
      return new ToyConnection();
    };
    const { listener } = await toys({ http1 });
    const { port } = listener.address as Extract<Address, { kind: "tcp" }>;
    const script = `const socket = { data() {} };
      const s = await Bun.connect({ hostname: "127.0.0.1", port: ${port}, socket });
      s.write("GET /");
      s.terminate();`;
    Bun.spawnSync([process.execPath, "-e", script]); // all of it is there before we accept
    const client = await rawClient(listener.address);
    await until(() => listener.traffic.acceptedCount === 1, "the next is accepted");
    client.socket.write("GET /");
    client.socket.terminate();
    await until(() => listener.connectionCount === 0, "both have gone");
    expect(callers).toEqual([expect.stringMatching(/^127\.0\.0\.1:\d+$/)]);
  });

  test("names the address it cannot have, and why", async () => {
    const { listener } = await toys();
    const { port } = listener.address as Extract<Address, { kind: "tcp" }>;
    const second = toys({ address: parseAddress(`127.0.0.1:${port}`) });
    await expect(second).rejects.toThrow(`127.0.0.1:${port}: address already in use`);
    await expect(second).rejects.toHaveProperty("code", "EADDRINUSE");
    await expect(toys({ address: parseAddress("https://127.0.0.1:0") })).rejects.toThrow("TLS");
    const unknown = toys({ address: parseAddress("no-such-host.invalid:0") });
    await expect(unknown).rejects.toThrow("no-such-host.invalid:0: no such host");
    await expect(unknown).rejects.toHaveProperty("code", "ENOTFOUND");
  });

  test("refuses connections beyond its limit and takes new ones when some have gone", async () => {
    const { listener } = await toys({ connectionsMax: 2 });
    const first = await rawClient(listener.address);
    await rawClient(listener.address);
    const third = await rawClient(listener.address);
    await until(() => third.closed(), "the third is refused");
    expect([listener.connectionCount, listener.traffic.refusedCount]).toEqual([2, 1]);
    first.socket.end();
    await until(() => listener.connectionCount === 1, "the first has gone");
    const fourth = await rawClient(listener.address);
    fourth.socket.write("GET");
    await until(() => fourth.received() === "GET", "the fourth is served");
  });

  test("a thousand connects and disconnects leave nothing behind", async () => {
    const { listener, network, http1 } = await toys();
    for (let round = 0; round < 10; round++) {
      const clients = await Promise.all(
        Array.from({ length: 100 }, () => rawClient(listener.address)),
      );
      clients.forEach((client, i) => {
        if (i % 4 > 0) client.socket.write("GET"); // a quarter never say a word
        if (i % 2 === 0) client.socket.end();
        else client.socket.terminate();
      });
      await until(() => listener.connectionCount === 0, "all are gone");
    }
    expect(listener.traffic.acceptedCount).toBe(1000);
    expect(network.linkCount).toBe(0);
    expect(http1.every((connection) => connection.closedCount === 1)).toBe(true);
  });

  test("a peer that does not read costs bounded memory and disturbs nobody", async () => {
    const { listener, http1 } = await toys({}, 8);
    const slow = await rawClient(listener.address, true);
    const flood = Buffer.alloc(64 * 1024, "x");
    let offered = 0;
    const wave = async (): Promise<number> => {
      const taken = slow.socket.write(flood);
      offered += Math.max(taken, 0);
      await Bun.sleep(0);
      return taken;
    };
    for (let still = 0; still < 20; ) still = (await wave()) === 0 ? still + 1 : 0;
    // The kernel's buffers and 2 MB read by then; far more was offered if nothing held it back.
    expect(offered).toBeLessThan(32 * 1024 * 1024);
    expect(http1[0]?.paused).toBe(true);
    // One read of Bun is at most 512 KiB, times eight, above the mark.
    expect(http1[0]?.output.bytes.length).toBeLessThan(16 * 1024 * 1024 + TOY_PAUSE_BYTES);
    const other = await rawClient(listener.address);
    other.socket.write("GET");
    await until(() => other.received().length === 24, "another is served");
    slow.socket.resume();
    await until(() => slow.receivedBytes() === offered * 8, "all arrives in the end");
  });

  test("a half-closed peer still gets what was ready, then the socket closes", async () => {
    const { listener, http1 } = await toys();
    const { port } = listener.address as Extract<Address, { kind: "tcp" }>;
    const client = nodeConnect({ port, host: "127.0.0.1", allowHalfOpen: true });
    let text = "";
    let ended = false;
    client.on("data", (bytes) => {
      text += bytes.toString();
    });
    client.on("end", () => {
      ended = true;
    });
    client.end("GET /");
    await until(() => ended, "the server closes too");
    expect(text).toBe("GET /");
    expect(http1[0]?.closedCount).toBe(1);
    client.destroy();
  });

  test("a fault in one socket's protocol ends that socket only", async () => {
    const broken = new ToyConnection();
    broken.receive = () => {
      throw new Error("a bug");
    };
    const { listener } = await toys({ http2: () => broken });
    const bad = await rawClient(listener.address);
    bad.socket.write("PRI * ");
    await until(() => bad.closed(), "the broken one is closed");
    expect(broken.closedCount).toBe(1);
    const good = await rawClient(listener.address);
    good.socket.write("GET");
    await until(() => good.received() === "GET", "another is served");
  });

  test("the good-bye arrives although the peer keeps sending", async () => {
    const { listener } = await toys();
    const client = await rawClient(listener.address, true);
    client.socket.write("GET quit");
    await until(() => listener.traffic.sentBytes === 8, "the answer is sent");
    client.socket.write("more that nobody reads");
    await until(() => listener.traffic.receivedBytes === 30, "it comes and is thrown away");
    client.socket.resume();
    await until(() => client.received() === "GET quit", "the answer arrives");
  });

  test("stop lets connections say good-bye and refuses new ones", async () => {
    const { listener, network, http1 } = await toys();
    const client = await rawClient(listener.address);
    const silent = await rawClient(listener.address);
    client.socket.write("GET");
    await until(() => client.received() === "GET", "an echo");
    const started = performance.now();
    await listener.stop(3000);
    expect(performance.now() - started).toBeLessThan(2000);
    expect(client.received()).toBe("GETbye");
    expect(http1[0]?.closedCount).toBe(1);
    await until(() => client.closed() && silent.closed(), "both are closed");
    expect(network.linkCount).toBe(0);
    await expect(rawClient(listener.address)).rejects.toThrow();
  });

  test("stop cuts what does not end in time, also when called again", async () => {
    const stubborn = new ToyConnection();
    stubborn.shutdown = () => undefined;
    const { listener } = await toys({ http1: () => stubborn });
    const client = await rawClient(listener.address);
    client.socket.write("GET");
    await until(() => client.received() === "GET", "an echo");
    const patient = listener.stop(60_000);
    const hasty = listener.stop(1);
    await hasty;
    await patient;
    expect(stubborn.closedCount).toBe(1);
  });

  test("every connection is ticked, by one timer that ends with the last of them", async () => {
    const { listener, network, http1 } = await toys();
    const client = await rawClient(listener.address);
    client.socket.write("GET");
    await until(() => (http1[0]?.tickCount ?? 0) > 1, "ticks come");
    client.socket.end();
    await until(() => network.linkCount === 0, "it is forgotten");
  });
});

process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
