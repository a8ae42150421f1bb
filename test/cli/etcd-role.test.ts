/** What a script, a unit file or a static pod sees of a server that is called etcd. */

import { dlopen } from "bun:ffi";
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { witness } from "../support/etcd-witness.ts";
import { freePort, until } from "../support/processes.ts";
import { EtcdRole, home, PEM, removeHome, run } from "./etcd-role.ts";

const ETCDCTL = witness?.etcdctl ?? "/usr/bin/etcdctl";
const SECURE = [`--cacert=${PEM.ca}`, `--cert=${PEM.clientCert}`, `--key=${PEM.clientKey}`];

setDefaultTimeout(60_000); // each test starts processes, and machines are busy
afterAll(removeHome);

const etcdctl = (endpoints: string, ...words: string[]): Promise<string> =>
  run([ETCDCTL, `--endpoints=${endpoints}`, ...words]);

/** Words for one member on free ports. */
async function alone(name: string, extra: readonly string[] = []) {
  const [client, peer] = [await freePort(), await freePort()];
  const endpoint = `127.0.0.1:${client}`;
  const words = [
    ...[`--name=${name}`, `--data-dir=${join(home, name)}`],
    ...[`--listen-client-urls=http://${endpoint}`, `--advertise-client-urls=http://${endpoint}`],
    ...[`--listen-peer-urls=http://127.0.0.1:${peer}`],
    ...[`--initial-advertise-peer-urls=http://127.0.0.1:${peer}`],
    ...[`--initial-cluster=${name}=http://127.0.0.1:${peer}`, ...extra],
  ];
  return { endpoint, words };
}

describe("before it starts", () => {
  const table: readonly (readonly [words: string[], status: number, message: RegExp])[] = [
    [
      ["--version"],
      0,
      /^etcd Version: 3\.7\.1\nGit SHA: .*Aether.*\nGo Version: .*\nGo OS\/Arch: /,
    ],
    [["--help"], 0, /^ {2}--experimental-initial-corrupt-check 'false'$/m],
    [["--nope"], 2, /^flag provided but not defined: -nope\nUsage/],
    [["stray"], 1, /"msg":"failed to verify flags","error":"\\"stray\\" is not a valid flag"/],
    [["--config-file=/nope.yml"], 1, /"failed to verify flags".*no such file/],
    [
      ["--auth-token=nope"],
      1,
      /^{[^\n]*"error":"--auth-token: expected simple or jwt, got nope"}\n$/,
    ],
  ];
  test.each(table)("%p: %p", async (words, status, message) => {
    const etcd = new EtcdRole(words);
    expect((await etcd.ended()).status).toBe(status);
    expect(etcd.stdout + etcd.stderr).toMatch(message);
    expect(status === 0 ? etcd.stderr : etcd.stdout).toBe("");
  });

  test("a file of TLS that is none is named", async () => {
    const tls = [`--cert-file=${PEM.key}`, `--key-file=${PEM.key}`];
    const urls = "https://127.0.0.1:0";
    const listen = [`--listen-client-urls=${urls}`, `--advertise-client-urls=${urls}`];
    const etcd = new EtcdRole([...listen, ...tls, `--data-dir=${join(home, "no-tls")}`]);
    expect((await etcd.ended()).status).toBe(1);
    expect(etcd.stderr).toContain(`${PEM.key}: no certificate in PEM form`);
    expect(existsSync(join(home, "no-tls"))).toBe(false);
  });
});

describe("as a process", () => {
  test("the lines that scripts wait for, in zap's form, and the end by the signal", async () => {
    const { endpoint, words } = await alone("lines", ["--max-wals=3"]);
    await using etcd = await new EtcdRole(words).ready();
    const ready = await etcd.said("ready to serve client requests");
    expect(Object.keys(ready).slice(0, 4)).toEqual(["level", "ts", "caller", "msg"]);
    expect(ready["ts"]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    expect(ready["caller"]).toMatch(/^serve\/serve\.ts:\d+$/);
    const serving = await etcd.said("serving client traffic insecurely");
    expect(serving).toMatchObject({ level: "info", traffic: "grpc+http", address: endpoint });
    for (const message of ["serving peer traffic", "elected leader", "published local member"]) {
      await etcd.said(message);
    }
    const warning = await etcd.said("settings of etcd that change nothing here");
    expect(warning["--max-wals"]).toBeString();
    etcd.child.kill("SIGTERM");
    expect(await etcd.ended()).toEqual({ status: null, signal: "SIGTERM" });
    expect(etcd.log.at(-1)).toMatchObject({
      msg: "received signal; shutting down",
      signal: "terminated",
    });
    expect(etcd.stdout).toBe("");
  });

  test("log lines in columns, to several places", async () => {
    const file = join(home, "several.log");
    const outputs = `--log-outputs=stdout,${file}`;
    const { words } = await alone("several", [outputs, "--log-format=console"]);
    await using etcd = new EtcdRole(words);
    const isReady = (text: string): boolean => text.includes("\tready to serve client requests\t");
    await until("it is ready", () => isReady(etcd.stdout));
    expect(await Bun.file(file).text()).toBe(etcd.stdout);
    expect(etcd.stdout).toMatch(/^\S+Z\tinfo\t\S+:\d+\tready to serve client requests\t\{"addr/m);
    expect(etcd.stderr).toBe("");
  });

  test("limits of requests are those of the flags", async () => {
    const limits = ["--max-request-bytes=1000", "--max-txn-ops=2"];
    const { endpoint, words } = await alone("limits", limits);
    await using _etcd = await new EtcdRole(words).ready();
    expect(await etcdctl(endpoint, "put", "a", "x".repeat(900))).toBe("OK\n");
    const tooLarge = await etcdctl(endpoint, "put", "a", "x".repeat(1100));
    expect(tooLarge).toContain("request is too large");
    const txn = join(home, "txn");
    writeFileSync(txn, "\nput a 1\nput b 2\nput c 3\n\n\n");
    const command = `'${ETCDCTL}' --endpoints=${endpoint} txn < '${txn}'`;
    expect(await run(["sh", "-c", command])).toContain("too many operations in txn request");
  });
});

describe("units and pods", () => {
  /** Debian's etcd-server: variables of the unit and /etc/default/etcd, no words, Type=notify. */
  test("Debian's unit file is told that the service is up", async () => {
    const [client, peer] = [await freePort(), await freePort()];
    const socket = await NotifySocket.open(join(home, "notify.sock"));
    const urls = `http://127.0.0.1:${client}`;
    await using etcd = new EtcdRole([], {
      ETCD_NAME: "host",
      ETCD_DATA_DIR: join(home, "debian"),
      ETCD_LISTEN_CLIENT_URLS: urls,
      ETCD_ADVERTISE_CLIENT_URLS: urls,
      ETCD_LISTEN_PEER_URLS: `http://127.0.0.1:${peer}`,
      DAEMON_ARGS: "",
      NOTIFY_SOCKET: socket.path,
    });
    await etcd.ready();
    await until("systemd is told", () => socket.received() === "READY=1");
    expect(await etcdctl(urls, "put", "a", "b")).toBe("OK\n");
    socket.close();
  });

  test("an abstract socket of systemd's, as containers have it", async () => {
    const socket = await NotifySocket.open(`@aether-test-${process.pid}`);
    const { words } = await alone("abstract");
    await using _etcd = new EtcdRole(words, { NOTIFY_SOCKET: socket.path });
    await until("systemd is told", () => socket.received() === "READY=1");
    socket.close();
  });

  test("a static pod of kubeadm's, with its probes", async () => {
    const [client, peer, metrics] = [await freePort(), await freePort(), await freePort()];
    await using etcd = await new EtcdRole([
      `--advertise-client-urls=https://127.0.0.1:${client}`,
      `--cert-file=${PEM.cert}`,
      "--client-cert-auth=true",
      `--data-dir=${join(home, "pod")}`,
      "--experimental-initial-corrupt-check=true",
      "--experimental-watch-progress-notify-interval=5s",
      `--initial-advertise-peer-urls=https://127.0.0.1:${peer}`,
      `--initial-cluster=node=https://127.0.0.1:${peer}`,
      `--key-file=${PEM.key}`,
      `--listen-client-urls=https://127.0.0.1:${client}`,
      `--listen-metrics-urls=http://127.0.0.1:${metrics}`,
      `--listen-peer-urls=https://127.0.0.1:${peer}`,
      "--name=node",
      `--peer-cert-file=${PEM.cert}`,
      "--peer-client-cert-auth=true",
      `--peer-key-file=${PEM.key}`,
      `--peer-trusted-ca-file=${PEM.ca}`,
      "--snapshot-count=10000",
      `--trusted-ca-file=${PEM.ca}`,
    ]).ready();
    await etcd.said("serving client traffic securely");
    const endpoint = `https://127.0.0.1:${client}`;
    expect(await etcdctl(endpoint, ...SECURE, "put", "a", "b")).toBe("OK\n");
    const strange = ["--dial-timeout=1s", "--command-timeout=1s", `--cacert=${PEM.ca}`];
    expect(await etcdctl(endpoint, ...strange, "get", "a")).not.toContain("b\n");
    for (const path of ["/livez", "/readyz"]) {
      expect(await run(["curl", "-s", `http://127.0.0.1:${metrics}${path}`])).toBe("ok\n");
    }
    const probe = "/health?exclude=NOSPACE&serializable=true";
    const health = await run(["curl", "-s", `http://127.0.0.1:${metrics}${probe}`]);
    expect(JSON.parse(health)).toMatchObject({ health: "true" });
  });

  test("three members with certificates shown both ways, then one of them alone", async () => {
    const names = ["a", "b", "c"];
    const ports = await Promise.all(names.map(async () => [await freePort(), await freePort()]));
    const cluster = names.map((name, i) => `${name}=https://127.0.0.1:${ports[i]?.[1]}`).join();
    const tls = ["", "peer-"].flatMap((prefix) => [
      ...[`--${prefix}cert-file=${PEM.cert}`, `--${prefix}key-file=${PEM.key}`],
      ...[`--${prefix}trusted-ca-file=${PEM.ca}`, `--${prefix}client-cert-auth`],
    ]);
    const wordsOf = (place: number, initial: string): string[] => {
      const [client, peer] = ports[place] as number[];
      const [name = ""] = names.slice(place);
      return [
        ...[`--name=${name}`, `--data-dir=${join(home, `tls-${name}`)}`, ...tls],
        ...[`--listen-client-urls=https://127.0.0.1:${client}`],
        ...[`--advertise-client-urls=https://127.0.0.1:${client}`],
        ...[`--listen-peer-urls=https://127.0.0.1:${peer}`],
        ...[`--initial-advertise-peer-urls=https://127.0.0.1:${peer}`],
        ...[`--initial-cluster=${initial}`, "--initial-cluster-state=new"],
      ];
    };
    const members = names.map((_name, place) => new EtcdRole(wordsOf(place, cluster)));
    const endpoints = ports.map(([client]) => `https://127.0.0.1:${client}`);
    try {
      for (const member of members) await member.ready();
      await members[0]?.said("established TCP streaming connection with remote peer");
      const health = await etcdctl(endpoints.join(), ...SECURE, "endpoint", "health");
      expect(health.match(/is healthy/g)).toHaveLength(3);
      expect(await etcdctl(endpoints[1] as string, ...SECURE, "put", "a", "b")).toBe("OK\n");
      expect(await etcdctl(endpoints[2] as string, ...SECURE, "get", "a")).toBe("a\nb\n");
    } finally {
      for (const member of members) await member[Symbol.asyncDispose]();
    }
    const [first = ""] = endpoints;
    await using alone = await new EtcdRole([...wordsOf(0, cluster), "--force-new-cluster"]).ready();
    expect(alone.log[0]?.msg).toContain("this member goes on alone");
    const list = await etcdctl(first, ...SECURE, "member", "list");
    expect(list.trim().split("\n")).toHaveLength(1);
    expect(await etcdctl(first, ...SECURE, "get", "a")).toBe("a\nb\n");
    expect(await etcdctl(first, ...SECURE, "put", "c", "d")).toBe("OK\n");
  });
});

describe("addresses", () => {
  test("http and https on one port, gRPC and HTTP on both", async () => {
    const [client, peer] = [await freePort(), await freePort()];
    const [plain, secure] = [`http://127.0.0.1:${client}`, `https://127.0.0.1:${client}`];
    await using etcd = await new EtcdRole([
      ...[`--data-dir=${join(home, "both")}`, `--cert-file=${PEM.cert}`, `--key-file=${PEM.key}`],
      ...[`--listen-client-urls=${plain},${secure}`, `--advertise-client-urls=${plain},${secure}`],
      ...[`--listen-peer-urls=http://127.0.0.1:${peer}`],
    ]).ready();
    await etcd.said("serving client traffic insecurely");
    await etcd.said("serving client traffic securely");
    expect(await etcdctl(plain, "put", "a", "b")).toBe("OK\n");
    expect(await etcdctl(secure, `--cacert=${PEM.ca}`, "get", "a")).toBe("a\nb\n");
    const version = /"etcdserver":"3\.7\.1"/;
    expect(await run(["curl", "-s", `${plain}/version`])).toMatch(version);
    for (const protocol of ["--http1.1", "--http2"]) {
      const words = ["curl", "-s", protocol, "--cacert", PEM.ca, `${secure}/version`];
      expect(await run(words)).toMatch(version);
    }
  });

  test("unix sockets, plaintext and TLS", async () => {
    const peer = join(home, "peer.sock");
    const [plain, secure] = [join(home, "plain.sock"), join(home, "secure.sock")];
    await using etcd = await new EtcdRole([
      ...[`--data-dir=${join(home, "unix")}`, `--cert-file=${PEM.cert}`, `--key-file=${PEM.key}`],
      ...[`--listen-client-urls=unix://${plain},unixs://${secure}`],
      ...[`--advertise-client-urls=unix://${plain},unixs://${secure}`],
      ...[`--listen-peer-urls=unix://${peer}`, `--initial-advertise-peer-urls=unix://${peer}`],
      `--initial-cluster=default=unix://${peer}`,
    ]).ready();
    expect(await etcdctl(`unix://${plain}`, "put", "a", "b")).toBe("OK\n");
    const version = /"etcdserver":"3\.7\.1"/;
    expect(await run(["curl", "-s", "--unix-socket", plain, "http://x/version"])).toMatch(version);
    const tls = ["--cacert", PEM.ca, "https://localhost/version"];
    expect(await run(["curl", "-s", "--unix-socket", secure, ...tls])).toMatch(version);
    etcd.child.kill("SIGTERM");
    await etcd.ended();
    expect([plain, secure, peer].filter((path) => existsSync(path))).toEqual([]);
  });

  test("HTTP apart from gRPC", async () => {
    const http = await freePort();
    const only = `--listen-client-http-urls=http://127.0.0.1:${http}`;
    const { endpoint, words } = await alone("apart", [only]);
    await using etcd = await new EtcdRole(words).ready();
    const lines = etcd.log.filter(({ msg }) => msg.startsWith("serving client traffic"));
    expect(lines.map(({ traffic }) => traffic)).toEqual(["grpc", "http"]);
    expect(await etcdctl(endpoint, "put", "a", "b")).toBe("OK\n");
    expect(await run(["curl", "-s", `http://${endpoint}/version`])).toContain("gRPC alone");
    const version = await run(["curl", "-s", `http://127.0.0.1:${http}/version`]);
    expect(version).toContain("3.7.1");
    const words2 = ["--command-timeout=1s", "get", "a"];
    expect(await etcdctl(`127.0.0.1:${http}`, ...words2)).not.toContain("a\nb");
  });
});

/** What systemd listens with: a datagram socket, which Bun itself has none of. */
class NotifySocket {
  readonly path: string;
  readonly #descriptor: number;

  private constructor(path: string, descriptor: number) {
    this.path = path;
    this.#descriptor = descriptor;
  }

  static async open(path: string): Promise<NotifySocket> {
    const address = Buffer.alloc(2 + Buffer.byteLength(path) + (path.startsWith("@") ? 0 : 1));
    address.writeUInt16LE(1);
    address.write(path, 2);
    if (path.startsWith("@")) address[2] = 0;
    const descriptor = libc.socket(1, 2 | 0o4000, 0);
    expect(libc.bind(descriptor, address, address.length)).toBe(0);
    return new NotifySocket(path, descriptor);
  }

  /** The datagram that has come; "" before. */
  received(): string {
    const buffer = Buffer.alloc(4096);
    const count = Number(libc.recv(this.#descriptor, buffer, buffer.length, 0));
    return buffer.toString("utf8", 0, Math.max(count, 0));
  }

  close(): void {
    libc.close(this.#descriptor);
  }
}

const { symbols: libc } = dlopen("libc.so.6", {
  socket: { args: ["int", "int", "int"], returns: "int" },
  bind: { args: ["int", "ptr", "u32"], returns: "int" },
  recv: { args: ["int", "ptr", "usize", "int"], returns: "i64" },
  close: { args: ["int"], returns: "int" },
});
