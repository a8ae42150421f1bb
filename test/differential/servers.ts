/** Fresh servers for a pair: each a cluster of one, started with the same words of etcd's. */
import { WITNESS_DIRECTORY } from "../support/etcd-witness.ts";
import { AETHER, ETCD, freePort, type Kind, ServerProcess } from "../support/processes.ts";
import { Side } from "./side.ts";

export type SideKind = "etcd-3.4" | "etcd-3.7" | "aether";

const EXECUTABLES: Readonly<Record<SideKind, string>> = {
  "etcd-3.4": ETCD,
  "etcd-3.7": `${WITNESS_DIRECTORY}/etcd`,
  aether: AETHER,
};

function serverKind(name: SideKind, peerUrl: string): Kind {
  const executable = EXECUTABLES[name];
  return {
    name,
    executable,
    ready: name === "aether" ? /\bready\b/ : /serving client traffic/,
    async command(port, dataDir) {
      const client = `http://127.0.0.1:${port}`;
      return [
        executable,
        ...["--name", "test", "--data-dir", dataDir],
        ...["--listen-client-urls", client, "--advertise-client-urls", client],
        ...["--listen-peer-urls", peerUrl, "--initial-advertise-peer-urls", peerUrl],
        ...["--initial-cluster", `test=${peerUrl}`, "--bcrypt-cost", "4"],
        ...(name === "aether" ? [] : ["--logger", "zap", "--log-outputs", "stderr"]),
      ];
    },
  };
}

export interface OpenSide extends AsyncDisposable {
  readonly side: Side;
  readonly server: ServerProcess;
}

/** Starts a server and connects to it; both end with the result. */
export async function openSide(name: SideKind): Promise<OpenSide> {
  if (!(name in EXECUTABLES)) throw new Error(`no server ${name}: ${Object.keys(EXECUTABLES)}`);
  const peerUrl = `http://127.0.0.1:${await freePort()}`;
  const server = await ServerProcess.start(serverKind(name, peerUrl), {});
  const clientUrl = `http://${server.endpoint}`;
  const side = new Side({ name, address: server.endpoint, clientUrl, peerUrl });
  return {
    side,
    server,
    async [Symbol.asyncDispose]() {
      side.close();
      await server[Symbol.asyncDispose]();
    },
  };
}
