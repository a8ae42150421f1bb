import { expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import { ETCD, freePort, isInstalled, readLog, startEtcd } from "./processes.ts";

const hasEtcd = await isInstalled(ETCD);

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

test.skipIf(!hasEtcd)(
  "a started server listens, and is gone with its directory afterwards",
  async () => {
    let port = 0;
    let directory = "";
    {
      await using server = await startEtcd();
      port = server.port;
      directory = dirname(server.logPath);
      expect(await isListening(port)).toBe(true);
      expect(existsSync(server.dataDir)).toBe(true);
      await server.kill();
      expect(server.pid).toBeUndefined();
      expect(await isListening(port)).toBe(false);
      await server.restart();
      expect(await isListening(port)).toBe(true);
      await server.stop();
      expect(await isListening(port)).toBe(false);
    }
    expect(existsSync(directory)).toBe(false);
  },
);

test.skipIf(!hasEtcd)("a server that does not start says why and keeps its log", async () => {
  const error = await startEtcd({ args: ["--no-such-flag"] }).catch((caught: Error) => caught);
  const text = String(error);
  expect(text).toContain("flag provided but not defined");
  const path = /; (\S+) ends with/.exec(text)?.[1] ?? "";
  expect(existsSync(path)).toBe(true);
  rmSync(dirname(path), { recursive: true });
});

test.skipIf(!hasEtcd)("keep() leaves data and log behind", async () => {
  const server = await startEtcd();
  server.keep();
  await server[Symbol.asyncDispose]();
  expect(await readLog(server)).toContain("serving client traffic");
  rmSync(dirname(server.logPath), { recursive: true });
});

test("free ports are free", async () => {
  const port = await freePort();
  expect(port).toBeGreaterThan(0);
  expect(await isListening(port)).toBe(false);
});
