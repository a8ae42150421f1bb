import { afterEach, describe, expect, test } from "bun:test";
import { ByteWriter } from "../../src/base/bytes.ts";
import { Prng } from "../../src/base/prng.ts";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import type { GrpcError } from "../../src/client/grpc-error.ts";
import {
  Auth,
  AuthenticateRequest,
  AuthenticateResponse,
  KV,
} from "../../src/proto/gen/etcdserverpb.ts";
import type { Method } from "../../src/wire/grpc/server-call.ts";
import { GrpcCode } from "../../src/wire/grpc/status.ts";
import { type EchoServer, echoServer } from "../net/echo-server.ts";

const servers: EchoServer[] = [];
const clients: EtcdClient[] = [];

interface Server {
  readonly client: EtcdClient;
  readonly logins: string[];
  readonly tokens: (string | undefined)[];
  /** The only token that is good. */
  good: string;
}

/** A server that wants a token: "t1" for the first login, "t2" for the second, … */
async function setup(enabled = true): Promise<Server> {
  const logins: string[] = [];
  const tokens: (string | undefined)[] = [];
  const range: Method = {
    path: KV.Range.path,
    unary: (call) => {
      const token = call.metadata.get("token");
      tokens.push(token);
      if (token === state.good || !enabled) call.reply(new Uint8Array(0), 0, 0);
      else if (token === undefined) {
        call.fail(GrpcCode.INVALID_ARGUMENT, "etcdserver: user name is empty");
      } else call.fail(GrpcCode.UNAUTHENTICATED, "etcdserver: invalid auth token");
    },
  };
  const authenticate: Method = {
    path: Auth.Authenticate.path,
    unary: (call, bytes, start, end) => {
      const { name, password } = AuthenticateRequest.decode(bytes, start, end);
      logins.push(`${name}:${password}:${call.metadata.get("token") ?? "no token"}`);
      if (!enabled) {
        const text = "etcdserver: authentication is not enabled";
        return call.fail(GrpcCode.FAILED_PRECONDITION, text);
      }
      state.good = `t${logins.length}`;
      const out = new ByteWriter();
      const token = `t${logins.length}`;
      AuthenticateResponse.encode(AuthenticateResponse.create({ token }), out);
      call.reply(out.bytes, 0, out.length);
    },
  };
  const server = await echoServer({ methods: [range, authenticate] });
  servers.push(server);
  const credentials = { name: "root", password: "secret" };
  const client = new EtcdClient({ endpoints: [server.url], credentials, random: new Prng(1) });
  clients.push(client);
  const state: Server = { client, logins, tokens, good: "" };
  return state;
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const server of servers.splice(0)) await server.listener.stop(0);
});

describe("credentials", () => {
  test("a token is got when one is asked for, kept, and replaced", async () => {
    const server = await setup();
    await server.client.get("a");
    await server.client.get("a");
    expect(server.tokens).toEqual([undefined, "t1", "t1"]);
    server.good = "of another time";
    await server.client.get("a");
    expect(server.tokens.slice(3)).toEqual(["t1", "t2"]);
    expect(server.logins).toEqual(["root:secret:no token", "root:secret:no token"]);
  });

  test("many calls that fail together share one login", async () => {
    const server = await setup();
    await Promise.all(Array.from({ length: 50 }, () => server.client.get("a")));
    expect(server.logins).toHaveLength(1);
  });

  test("authenticate() saves the refused call; without authentication it says so", async () => {
    const server = await setup();
    expect(await server.client.authenticate()).toBe(true);
    await server.client.get("a");
    expect(server.tokens).toEqual(["t1"]);
    const open = await setup(false);
    expect(await open.client.authenticate()).toBe(false);
    await open.client.get("a");
    expect(open.tokens).toEqual([undefined]);
  });

  test("a token that is refused again at once is an error, not a loop", async () => {
    const server = await setup();
    Object.defineProperty(server, "good", { get: () => "never", set: () => undefined });
    const error = await server.client.get("a").catch((reason: GrpcError) => reason);
    expect((error as GrpcError).code).toBe(GrpcCode.UNAUTHENTICATED);
    expect(server.tokens).toHaveLength(2);
  });
});
