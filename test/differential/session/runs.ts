/**
 * Who talks to whom. Each run of a part has servers of its own, all with one name and one
 * advertised peer URL, of which ids are computed: so that ids are equal where the rule is.
 */
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { witness } from "../../support/etcd-witness.ts";
import { AETHER, ETCD, freePort, type Kind, ServerProcess } from "../../support/processes.ts";
import { runPart } from "./client.ts";
import { type Spawn, spawnOurs, spawnProgram } from "./spawn.ts";
import type { Part, Said, Step } from "./step.ts";

export type Client = "etcdctl 3.4" | "etcdctl 3.7" | "ctl";
export type Server = "etcd 3.4" | "etcd 3.7" | "aether";

export const ETCDCTL = "/usr/bin/etcdctl";

/** Our executable is called as etcdctl, as it is by a script whose path alone was changed. */
const links = mkdtempSync(join(tmpdir(), "aether-etcdctl-"));
symlinkSync(AETHER, join(links, "etcdctl"));
process.on("exit", () => rmSync(links, { recursive: true }));

/**
 * Our client runs in this process, which takes a tenth of the time; but where signals and programs
 * matter it is the executable.
 */
function spawnOf(client: Client, part: Part): Spawn {
  if (client === "etcdctl 3.4") return spawnProgram(ETCDCTL);
  if (client === "etcdctl 3.7") return spawnProgram(witness?.etcdctl ?? "");
  return part.executable === true ? spawnProgram(join(links, "etcdctl")) : spawnOurs;
}

const PEER = "http://127.0.0.1:2380";

/** As the server is told to be called and to be reached by members that there are not. */
function kindOf(name: Server): Kind {
  const ours = name === "aether";
  const executable = ours ? AETHER : name === "etcd 3.4" ? ETCD : (witness?.etcd ?? "");
  return {
    name: name.replace(" ", "-"),
    executable,
    ready: ours ? /\bready\b/ : /serving client traffic/,
    async command(port, dataDir) {
      const client = `http://127.0.0.1:${port}`;
      return [
        executable,
        ...["--name", "test", "--data-dir", dataDir, "--initial-cluster", `test=${PEER}`],
        ...["--listen-client-urls", client, "--advertise-client-urls", client],
        ...["--listen-peer-urls", `http://127.0.0.1:${await freePort()}`],
        ...["--initial-advertise-peer-urls", PEER, "--bcrypt-cost=4"],
        ...(ours ? [] : ["--logger", "zap", "--log-outputs", "stderr"]),
      ];
    },
  };
}

const RELEASES: Readonly<Record<Client, string>> = {
  "etcdctl 3.4": "3.4",
  "etcdctl 3.7": "3.7",
  ctl: "3.7",
};

/** The steps of a part that a client has the commands for. */
export function stepsFor({ steps }: Part, client: Client): readonly Step[] {
  return steps.filter(({ since = "" }) => RELEASES[client] >= since);
}

/** Runs the part against fresh servers. */
export async function run(part: Part, client: Client, server: Server): Promise<readonly Said[]> {
  await using here = await ServerProcess.start(kindOf(server), {});
  const mirrors = part.steps.some(({ words }) => words.some((word) => word.includes("{other}")));
  await using there = mirrors ? await ServerProcess.start(kindOf(server), {}) : undefined;
  const steps = stepsFor(part, client);
  const side = {
    spawn: spawnOf(client, part),
    endpoint: here.endpoint,
    other: there?.endpoint ?? "nowhere:1",
  };
  return await runPart({ ...part, steps }, side);
}
