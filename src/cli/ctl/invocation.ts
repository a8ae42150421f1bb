/** One run of a client command: its arguments, its connections, its output. */
import { ByteWriter } from "../../base/bytes.ts";
import { AetherError } from "../../base/errors.ts";
import { Secret } from "../../base/secret.ts";
import { EtcdClient, type EtcdClientOptions } from "../../client/etcd-client.ts";
import { deadlineExceeded, GrpcError } from "../../client/grpc-error.ts";
import type { MethodType } from "../../proto/message.ts";
import type { Arguments } from "../arguments.ts";
import { EXIT, ExitError } from "../exit.ts";
import type { Io } from "../io.ts";
import type { CommandEntry, CommandInfo } from "./command-info.ts";
import { discoverEndpoints } from "./discovery.ts";
import type { Globals, User } from "./globals.ts";
import { type Answer, formatAnswer, unsupportedFormat } from "./output/answer.ts";
import type { Style } from "./output/key-values.ts";

export interface InvocationParts {
  readonly command: CommandInfo;
  readonly commands: readonly CommandEntry[];
  readonly args: Arguments;
  readonly globals: Globals;
  readonly io: Io;
}

/** Where a client goes, and as whom. */
export interface Target {
  readonly endpoints: readonly string[];
  readonly tls: EtcdClientOptions["tls"] | undefined;
  readonly credentials: EtcdClientOptions["credentials"] | undefined;
  readonly token?: Secret | undefined;
}

export class Invocation {
  readonly command: CommandInfo;
  /** All commands there are. */
  readonly commands: readonly CommandEntry[];
  readonly args: Arguments;
  readonly globals: Globals;
  readonly io: Io;
  readonly #clients: EtcdClient[] = [];
  #password: Promise<Secret> | undefined;

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
    const { tls, user, token } = this.globals;
    const password = user === undefined ? undefined : await this.#passwordOf(user);
    return await this.connect({
      endpoints: endpoints ?? (await this.endpoints()),
      tls,
      credentials: user && password !== undefined ? { name: user.name, password } : undefined,
      token,
    });
  }

  /** A client for somewhere else; closed with the invocation. */
  async connect({ endpoints, tls, credentials, token }: Target): Promise<EtcdClient> {
    const { dialTimeoutMs, commandTimeoutMs: timeoutMs, connection } = this.globals;
    const client = connect({
      ...{ endpoints, dialTimeoutMs, timeoutMs, connection },
      ...(tls === undefined ? {} : { tls }),
      ...(credentials === undefined || token !== undefined ? {} : { credentials }),
    });
    this.#clients.push(client);
    if (token !== undefined) {
      client.channel.authorizer = {
        fields: () => ["token", token.reveal()],
        renew: () => Promise.resolve(false),
      };
    } else if (credentials !== undefined) {
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
    const message = method.request.create(request);
    this.#requireSmall(method, message);
    const timeoutMs = this.globals.commandTimeoutMs;
    // A fast answer would come before the tick that finds the deadline passed.
    if (timeoutMs === 0) throw deadlineExceeded();
    return channel.call(method, message, { timeoutMs });
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

  /** Asked for once, however many clients there are. */
  #passwordOf(user: User): Promise<Secret> {
    this.#password ??=
      user.password === undefined
        ? this.io.askSecret("Password: ").then((typed) => new Secret(typed))
        : Promise.resolve(user.password);
    return this.#password;
  }

  /** --max-request-bytes: what no server would take is not sent. */
  #requireSmall<Request>(method: MethodType<Request, unknown>, message: Request): void {
    const limit = this.globals.requestBytesMax;
    const encoded = new ByteWriter(1024);
    method.request.encode(message, encoded);
    if (encoded.length <= limit) return;
    const why = `trying to send message larger than max (${encoded.length} vs. ${limit})`;
    throw new ExitError(EXIT.FAILED, `rpc error: code = ResourceExhausted desc = ${why}`);
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
    throw new ExitError(status, describe(callErrorText(cause)), { cause });
  }
}

/**
 * The failure as etcd's client shows it: the text alone when it is one of etcd's or our own, with
 * the status around it when it is gRPC's.
 */
export function callErrorText({ message, codeName, unprocessed }: GrpcError): string {
  if (unprocessed || /^(etcdserver|context|auth)\b/.test(message)) return message;
  const words = codeName.toLowerCase().split("_");
  const code = words.map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join("");
  return `rpc error: code = ${code} desc = ${message}`;
}
