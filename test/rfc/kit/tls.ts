/** Raw connections over TLS, and openssl's client as a second opinion. */
import { connect, type TLSSocket } from "node:tls";
import { Peer } from "./peer.ts";

/** What a client offers, and what it verifies nothing of: the tests are about the protocol. */
export interface Offer {
  readonly protocols?: readonly string[];
  readonly serverName?: string;
  readonly version?: "TLSv1.2" | "TLSv1.3";
  readonly ciphers?: string | undefined;
}

/** A handshake's outcome. */
export interface Dialled {
  readonly peer: Peer;
  /** What ALPN chose; undefined: nothing. */
  readonly protocol: string | undefined;
}

export async function dialTls(port: number, offer: Offer): Promise<Dialled> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const { protocols, serverName, version, ciphers } = offer;
  const socket = connect({
    host: "127.0.0.1",
    port,
    rejectUnauthorized: false,
    ...(protocols === undefined ? {} : { ALPNProtocols: [...protocols] }),
    ...(ciphers === undefined ? {} : { ciphers }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(version === undefined ? {} : { minVersion: version, maxVersion: version }),
  });
  socket.once("secureConnect", () => resolve(socket));
  socket.once("error", reject);
  socket.once("close", () => reject(new Error("closed in the handshake")));
  await promise;
  return { peer: new Peer(socket), protocol: socket.alpnProtocol || undefined };
}

/** Runs `openssl s_client` against the port, with `input` on its standard input. */
export async function openssl(port: number, input: string, ...more: string[]): Promise<string> {
  const command = ["timeout", "4", "openssl", "s_client", "-connect", `127.0.0.1:${port}`, ...more];
  const child = Bun.spawn(command, { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  child.stdin.write(input);
  await child.stdin.end();
  const texts = [new Response(child.stdout).text(), new Response(child.stderr).text()];
  return (await Promise.all(texts)).join("\n");
}
