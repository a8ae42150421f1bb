/** One run of a client command: its arguments, its connections, its output. */
import { AetherError } from "../../base/errors.ts";
import { EtcdClient, type EtcdClientOptions } from "../../client/etcd-client.ts";
import { GrpcError } from "../../client/grpc-error.ts";
import type { MethodType } from "../../proto/message.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT, ExitError } from "../exit.ts";
import type { Io } from "../io.ts";
import type { CommandInfo } from "./command-info.ts";
import { discoverEndpoints } from "./discovery.ts";
import type { Globals } from "./globals.ts";
import { type Answer, formatAnswer, unsupportedFormat } from "./output/answer.ts";
import type { Style } from "./output/key-values.ts";

export interface InvocationParts {
  readonly command: CommandInfo;
  readonly commands: readonly CommandInfo[];
  readonly args: Arguments;
  readonly globals: Globals;
  readonly io: Io;
}

export class Invocation {
  readonly command: CommandInfo;
  /** All commands there are. */
  readonly commands: readonly CommandInfo[];
  readonly args: Arguments;
  readonly globals: Globals;
  readonly io: Io;
  readonly #clients: EtcdClient[] = [];
  #password: string | undefined;

  /** Use runCtl(). */
  constructor(parts: InvocationParts) {
    this.command = parts.command;
    this.commands = parts.commands;
    this.args = parts.args;
    this.globals = parts.globals;
    this.io = parts.io;
  }

  /** How keys and values are shown. */
  get style(): Style {
    return { hex: this.globals.hex, valueOnly: false };
  }

  /** Refuses an output form that the command does not have, before it does anything. */
  requireFormat(): void {
    const { formats } = this.command;
    const { format } = this.globals;
    if (formats !== undefined && !formats.includes(format)) throw unsupportedFormat(format);
  }

  /** The endpoints that were given or discovered. */
  async endpoints(): Promise<readonly string[]> {
    const { discovery, endpoints } = this.globals;
    return discovery === undefined ? endpoints : await discoverEndpoints(discovery);
  }

  /** A client for these endpoints, by default all; closed with the invocation. */
  async client(endpoints?: readonly string[]): Promise<EtcdClient> {
    this.requireFormat();
    const options = await this.#options(endpoints ?? (await this.endpoints()));
    const client = connect(options);
    this.#clients.push(client);
    const { token } = this.globals;
    if (token !== undefined) {
      client.channel.authorizer = {
        fields: () => ["token", token],
        renew: () => Promise.resolve(false),
      };
    } else if (options.credentials !== undefined) {
      await orBadConnection(client.authenticate());
    }
    return client;
  }

  /** One call within the command's time. */
  async call<Request, Response>(
    method: MethodType<Request, Response>,
    request: Partial<Request>,
    client?: EtcdClient,
  ): Promise<Response> {
    const { channel } = client ?? (await this.client());
    const timeoutMs = this.globals.commandTimeoutMs;
    return channel.call(method, method.request.create(request), { timeoutMs });
  }

  /** Prints in the form that was asked for. */
  print(answer: Answer): void {
    this.io.out(formatAnswer(answer, this.globals.format));
  }

  /** Prints a line, whatever the form. */
  say(line: string): void {
    this.io.out(Buffer.from(`${line}\n`));
  }

  /** Ends all connections. */
  close(): void {
    for (const client of this.#clients) client.close();
  }

  async #options(endpoints: readonly string[]): Promise<EtcdClientOptions> {
    const { tls, user, dialTimeoutMs, commandTimeoutMs } = this.globals;
    const base = { endpoints, dialTimeoutMs, timeoutMs: commandTimeoutMs };
    const secured = tls === undefined ? base : { ...base, tls };
    if (user === undefined) return secured;
    this.#password ??= user.password ?? (await this.io.askSecret("Password: "));
    return { ...secured, credentials: { name: user.name, password: this.#password } };
  }
}

function connect(options: EtcdClientOptions): EtcdClient {
  try {
    return new EtcdClient(options);
  } catch (error) {
    if (!(error instanceof AetherError)) throw error;
    throw new ExitError(EXIT.BAD_ARGUMENTS, error.detail, { cause: error });
  }
}

/** The same, its failure with the status that etcdctl gives where it has no connection. */
export async function orBadConnection<T>(result: Promise<T>): Promise<T> {
  return await orFail(result, EXIT.BAD_CONNECTION, (text) => text);
}

/** The same, its failure with a status and a text of the command's own. */
export async function orFail<T>(
  result: Promise<T>,
  status: number,
  describe: (text: string) => string,
): Promise<T> {
  try {
    return await result;
  } catch (cause) {
    if (!(cause instanceof GrpcError)) throw cause;
    throw new ExitError(status, describe(cause.message), { cause });
  }
}
