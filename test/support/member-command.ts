/**
 * How one member of a cluster is started: etcd and our executable take the same flags, ours also a
 * file. One place, so that every test says only which kind it wants.
 */
import { writeFileSync } from "node:fs";
import { AETHER, ETCD, type Kind } from "./processes.ts";

export type ClusterKind = "aether" | "etcd";

/** Members in namespaces are on several machines, as far as they know: ours want a secret then. */
export const MEMBER_ENVIRONMENT = { AETHER_CLUSTER_SECRET: "known to the members only" };

export const EXECUTABLES: Readonly<Record<ClusterKind, string>> = { aether: AETHER, etcd: ETCD };

/** What a member's log says when it took a copy of the state instead of the log. */
export const TOOK_COPY: Readonly<Record<ClusterKind, RegExp>> = {
  etcd: /applied snapshot|saved snapshot to disk/g,
  aether: /installed a snapshot/g,
};

/** How our executable is told who the members are. */
export type Form = "flags" | "file";

export interface MemberConfig {
  readonly number: number;
  readonly name: string;
  /** host:port where it listens. */
  readonly clientAddress: string;
  readonly peerAddress: string;
  /** host:port where others find it: a proxy may stand before it. */
  readonly advertisedPeerAddress: string;
  /** Of all members that it is to know at its start, itself too. */
  readonly initial: readonly { readonly number: number; readonly name: string; peer: string }[];
  readonly state: "new" | "existing";
  readonly token: string;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly snapshotCount: number | undefined;
  /** Changes of the membership are refused that would cost the quorum. */
  readonly strict: boolean;
  readonly form: Form;
  /** Words before the executable's. */
  readonly prefix: readonly string[];
  readonly executable: string;
}

/** The kind of one member, for ServerProcess. */
export function memberKind(kind: ClusterKind, config: MemberConfig): Kind {
  const { executable } = config;
  return {
    name: kind,
    executable,
    ready: kind === "etcd" ? /serving client traffic/ : /\bready\b/,
    async command(_port, dataDir) {
      const words =
        config.form === "file" ? fileWords(config, dataDir) : flagWords(config, dataDir);
      return [...config.prefix, executable, ...words, ...OWN_WORDS[kind]];
    },
  };
}

/** What only one of them takes. */
const OWN_WORDS: Readonly<Record<ClusterKind, readonly string[]>> = {
  etcd: ["--logger", "zap", "--log-outputs", "stderr"],
  aether: ["--metrics-listen-addr", "127.0.0.1:0"],
};

function flagWords(config: MemberConfig, dataDir: string): string[] {
  const client = `http://${config.clientAddress}`;
  const initial = config.initial.map(({ name, peer }) => `${name}=http://${peer}`);
  return [
    ...["--name", config.name, "--data-dir", dataDir],
    ...["--listen-client-urls", client, "--advertise-client-urls", client],
    ...["--listen-peer-urls", `http://${config.peerAddress}`],
    ...["--initial-advertise-peer-urls", `http://${config.advertisedPeerAddress}`],
    ...["--initial-cluster", initial.join(","), "--initial-cluster-state", config.state],
    ...["--initial-cluster-token", config.token],
    // etcd would not change members in its first five seconds.
    ...(config.strict ? [] : ["--strict-reconfig-check=false"]),
    ...["--heartbeat-interval", `${config.heartbeatMs}`],
    ...["--election-timeout", `${config.electionMs}`],
    ...(config.snapshotCount === undefined ? [] : ["--snapshot-count", `${config.snapshotCount}`]),
  ];
}

/** As the README shows it: one port for everybody. */
function fileWords(config: MemberConfig, dataDir: string): string[] {
  const path = `${dataDir}.toml`;
  const snapshots = config.snapshotCount;
  const lines = [
    `node_id = ${config.number}`,
    `addr = "${config.clientAddress}"`,
    `data_dir = ${JSON.stringify(dataDir)}`,
    "[cluster]",
    `token = "${config.token}"`,
    `state = "${config.state}"`,
    `strict_reconfig_check = ${config.strict}`,
    `heartbeat_interval_ms = ${config.heartbeatMs}`,
    `election_timeout_ms = ${config.electionMs}`,
    ...(snapshots === undefined ? [] : [`snapshot_trigger_log_entries = ${snapshots}`]),
  ];
  for (const { number, peer } of config.initial) {
    lines.push("[[cluster.peers]]", `node_id = ${number}`, `addr = "${peer}"`);
  }
  writeFileSync(path, `${lines.join("\n")}\n`);
  return ["--config", path];
}
