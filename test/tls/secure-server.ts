/** One node of our own with TLS, started by etcd's flags. */
import { AETHER, freePort, type Kind, ServerProcess } from "../support/processes.ts";

/** Every kind of address that a node has, each on a port of its own. */
export interface Ports {
  /** gRPC, and HTTP where it has no address of its own. */
  readonly clients: number;
  /** TLS and plaintext. */
  readonly shared: number;
  readonly http: number;
  readonly metrics: number;
  readonly peers: number;
}

export interface SecureServer extends AsyncDisposable {
  readonly ports: Ports;
  readonly process: ServerProcess;
}

export interface SecureOptions {
  /** Flags of certificates, above all. */
  readonly flags: readonly string[];
  /** HTTP gets an address of its own. */
  readonly httpApart?: boolean;
  readonly executable?: string;
}

/** Starts a cluster of one whose addresses are all https, and one of them http, too. */
export async function startSecure(options: SecureOptions): Promise<SecureServer> {
  const ports = {
    clients: await freePort(),
    shared: await freePort(),
    http: await freePort(),
    metrics: await freePort(),
    peers: await freePort(),
  };
  const process = await ServerProcess.start(kindOf(ports, options), { port: ports.clients });
  return { ports, process, [Symbol.asyncDispose]: () => process[Symbol.asyncDispose]() };
}

function kindOf(
  ports: Ports,
  { flags, httpApart = false, executable = AETHER }: SecureOptions,
): Kind {
  const https = (port: number): string => `https://127.0.0.1:${port}`;
  const both = `${https(ports.shared)},http://127.0.0.1:${ports.shared}`;
  return {
    name: "aether",
    executable,
    ready: /ready to serve client requests/,
    command: async (_port, dataDir) => [
      ...[executable, "--name", "one", "--data-dir", dataDir],
      ...["--listen-client-urls", `${https(ports.clients)},${both}`],
      ...(httpApart ? ["--listen-client-http-urls", https(ports.http)] : []),
      ...["--advertise-client-urls", https(ports.clients)],
      ...["--listen-metrics-urls", https(ports.metrics)],
      ...["--listen-peer-urls", https(ports.peers)],
      ...["--initial-advertise-peer-urls", https(ports.peers)],
      ...["--initial-cluster", `one=${https(ports.peers)}`],
      ...flags,
    ],
  };
}
