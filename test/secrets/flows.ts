/**
 * What people do with names, passwords and tokens, right and wrong, by every way into a server:
 * the client's commands, gRPC, JSON over HTTP, WebSockets, and what is no request at all. All that
 * they are told is kept; only the answer that gives a token is not, since that is its purpose.
 */
import { connect } from "node:net";
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { Auth } from "../../src/proto/gen/etcdserverpb.ts";
import type { MethodType } from "../../src/proto/message.ts";
import { AETHER } from "../support/processes.ts";
import { runToEnd } from "../support/run.ts";
import type { Planted } from "./planted.ts";

export interface Place {
  /** host:port for clients. */
  readonly endpoint: string;
  /** http or https. */
  readonly scheme: "http" | "https";
  /** The authority's certificate, where the scheme is https. */
  readonly ca?: string;
}

export class Flows {
  readonly #place: Place;
  readonly #planted: Planted;
  readonly #url: string;
  constructor(place: Place, planted: Planted) {
    this.#place = place;
    this.#planted = planted;
    this.#url = `${place.scheme}://${place.endpoint}`;
  }

  /** Runs a command of the client and keeps what it wrote. Throws if it ends otherwise. */
  async ctl(words: readonly string[], options: CtlOptions = {}): Promise<string> {
    const { ca } = this.#place;
    const tls = ca === undefined ? [] : ["--cacert", ca];
    const command = [AETHER, "ctl", "--endpoints", this.#url, ...tls, ...words];
    const { env = {}, input = "" } = options;
    const ended = await runToEnd(command, { env, input });
    const where = `ctl ${words.filter((word) => !word.startsWith("-")).join(" ")}`;
    // What was given is not said: the name of a place must not be a disclosure itself.
    this.#planted.hear(`a command's output (${words[0]} ${words[1]})`, ended.stdout);
    this.#planted.hear(`a command's errors (${words[0]} ${words[1]})`, ended.stderr);
    if ((ended.status !== 0) !== (options.fails === true)) {
      throw new Error(`${where} ended with ${ended.status}: ${ended.stderr}`);
    }
    return ended.stdout;
  }

  /** One request over HTTP/1.1; its answer is kept, unless it is the one that gives a token. */
  async post(path: string, body: string, options: PostOptions = {}): Promise<string> {
    const response = await fetch(this.#url + path, {
      method: options.method ?? "POST",
      headers: { "content-type": "application/json", ...options.headers },
      ...(options.method === "GET" ? {} : { body }),
      tls: { rejectUnauthorized: false },
    });
    const text = await response.text();
    const headers = JSON.stringify([...response.headers]);
    if (options.givesToken !== true) this.#planted.hear(`HTTP ${path.split("?")[0]}`, text);
    this.#planted.hear(`headers of HTTP ${path.split("?")[0]}`, headers);
    return text;
  }

  /** Bytes as they are, on a connection of their own; what comes back until it is closed. */
  raw(text: string): Promise<void> {
    const [host = "", port] = this.#place.endpoint.split(":");
    return new Promise((resolve) => {
      const socket = connect({ host, port: Number(port) });
      socket.setTimeout(1000, () => socket.destroy());
      socket.on("data", (bytes) => this.#planted.hear("an answer to what is no request", bytes));
      socket.on("error", () => socket.destroy());
      socket.on("close", () => resolve());
      socket.end(text);
    });
  }

  /** A call whose message is not one: what the server says of it. */
  async brokenCall(bytes: Uint8Array, token?: string): Promise<void> {
    const client = new EtcdClient({
      endpoints: [this.#url],
      ...(this.#place.scheme === "https" ? { tls: { insecureSkipVerify: true } } : {}),
    });
    if (token !== undefined) {
      const fields = (): readonly string[] => ["token", token, "authorization", `Bearer ${token}`];
      client.channel.authorizer = { fields, renew: () => Promise.resolve(false) };
    }
    const broken: MethodType<unknown, unknown> = {
      ...(Auth.UserAdd as unknown as MethodType<unknown, unknown>),
      request: {
        ...(Auth.UserAdd.request as unknown as MethodType<unknown, unknown>["request"]),
        encode: (_message, writer) => writer.append(bytes),
      },
    };
    const refusal = await client.channel.call(broken, {}).then(
      () => "it was taken",
      (error: unknown) => Bun.inspect(error),
    );
    client.close();
    this.#planted.hear("the refusal of a call", refusal);
  }

  /** Asks over a WebSocket and keeps the first answer. */
  socket(path: string, request: string, headers: Record<string, string>): Promise<void> {
    return new Promise((resolve) => {
      const url = `${this.#url.replace(/^http/, "ws")}${path}`;
      const socket = new WebSocket(url, { headers, tls: { rejectUnauthorized: false } });
      const hear = (what: unknown): void => {
        this.#planted.hear("a WebSocket", Bun.inspect(what));
        socket.close();
        resolve();
      };
      socket.onopen = () => socket.send(request);
      socket.onmessage = ({ data }) => hear(data);
      socket.onclose = ({ code, reason }) => hear({ code, reason });
    });
  }
}

export interface CtlOptions {
  readonly fails?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

export interface PostOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly givesToken?: boolean;
}
