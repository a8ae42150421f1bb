/** The server under test: the executable, one process for all tests of a file. */
import { afterAll, beforeAll } from "bun:test";
import { type ServerOptions, type ServerProcess, startAether } from "../../support/processes.ts";

const START_MS_MAX = 60_000;

/** Starts it before the file's tests and ends it after them; its port, once it runs. */
export function useServer(options?: ServerOptions): () => number {
  let server: ServerProcess | undefined;
  beforeAll(async () => {
    server = await startAether(options);
  }, START_MS_MAX);
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
  });
  return () => {
    if (server === undefined) throw new Error("the server has not been started");
    return server.port;
  };
}
