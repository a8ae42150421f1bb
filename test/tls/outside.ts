/** Clients that nobody here wrote, at addresses with TLS: openssl s_client and etcdctl. */
import type { Issued } from "../support/authority.ts";

/** A handshake and an answer take some tens of milliseconds; the machine may be busy. */
const CLIENT_MS_MAX = 10_000;

export interface Knock {
  /** Shown by the client; undefined: none. */
  readonly certificate?: Issued | undefined;
  /** Whom the client believes. */
  readonly ca: string;
  /** More words for s_client. */
  readonly words?: readonly string[];
  /** What is asked for, once inside. */
  readonly path?: string;
}

export interface Answer {
  /** The first line of the answer over HTTP/1.1; undefined: nothing came. */
  readonly status: string | undefined;
  /** The number of the fatal alert that ended it (RFC 8446 §6), if one did. */
  readonly alert: number | undefined;
  /** Ended by close_notify, not by a reset. */
  readonly politely: boolean;
  /** The common name of the server's certificate. */
  readonly server: string | undefined;
  readonly text: string;
}

/** Asks by openssl s_client over HTTP/1.1, and waits for the end. */
export async function knock(port: number, options: Knock): Promise<Answer> {
  const { certificate, ca, words = [], path = "/version" } = options;
  const own = certificate === undefined ? [] : ["-cert", certificate.cert, "-key", certificate.key];
  const command = [
    ...["openssl", "s_client", "-connect", `127.0.0.1:${port}`, "-CAfile", ca, "-ign_eof"],
    ...["-servername", "localhost", "-alpn", "http/1.1", ...own, ...words],
  ];
  const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
  const client = Bun.spawn(command, {
    stdin: Buffer.from(request),
    stdout: "pipe",
    stderr: "pipe",
    timeout: CLIENT_MS_MAX,
  });
  const [out, err] = await Promise.all([
    new Response(client.stdout).text(),
    new Response(client.stderr).text(),
  ]);
  const text = `${out}\n${err}`;
  const alert = /SSL alert number (\d+)/.exec(text)?.[1];
  return {
    status: /HTTP\/1\.1 \d{3} .*/.exec(text)?.[0].trim(),
    alert: alert === undefined ? undefined : Number(alert),
    politely: /^closed$/m.test(text),
    server: /^subject=.*CN\s*=\s*(\S+)/m.exec(text)?.[1],
    text,
  };
}

/** `etcdctl put`: "OK", or what it says instead. */
export async function etcdctlPut(
  endpoint: string,
  { ca, certificate }: Pick<Knock, "ca" | "certificate">,
): Promise<string> {
  const own = certificate && ["--cert", certificate.cert, "--key", certificate.key];
  const limits = ["--command-timeout=1500ms", "--dial-timeout=1s"];
  const words = ["--endpoints", endpoint, "--cacert", ca, ...(own ?? []), ...limits];
  const client = Bun.spawn(["etcdctl", ...words, "put", "a", "b"], {
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env.PATH ?? "", ETCDCTL_API: "3" },
    timeout: CLIENT_MS_MAX,
  });
  const [out, err] = await Promise.all([
    new Response(client.stdout).text(),
    new Response(client.stderr).text(),
  ]);
  return `${out}${err}`.trim();
}
