/** etcd's flags for who the members are, how they meet and how they elect. */
import type { EtcdSetting } from "../setting.ts";
import { TOPOLOGY } from "../settings.ts";

const DISCOVERY = "members are found by --initial-cluster; discovery is not in this version";
const NO_DISCOVERY = "it belongs to discovery, which is not in this version";

export const TOPOLOGY_SETTINGS: readonly EtcdSetting[] = [
  {
    etcd: "name",
    kind: "string",
    initial: "default",
    instead: TOPOLOGY,
    help: "Name of this member",
  },
  {
    etcd: "listen-client-urls",
    kind: "urls",
    initial: "http://localhost:2379",
    instead: TOPOLOGY,
    help: "Where to listen for clients",
  },
  {
    etcd: "listen-client-http-urls",
    kind: "urls",
    initial: "",
    instead: TOPOLOGY,
    help: "Where to answer clients' HTTP; --listen-client-urls then takes gRPC alone",
  },
  {
    etcd: "advertise-client-urls",
    kind: "urls",
    initial: "http://localhost:2379",
    instead: TOPOLOGY,
    help: "Where clients find this member; needed with --listen-client-urls",
  },
  {
    etcd: "listen-peer-urls",
    kind: "urls",
    initial: "http://localhost:2380",
    instead: TOPOLOGY,
    help: "Where to listen for other members",
  },
  {
    etcd: "initial-advertise-peer-urls",
    kind: "urls",
    initial: "http://localhost:2380",
    instead: TOPOLOGY,
    help: "Where other members find this one",
  },
  {
    etcd: "initial-cluster",
    kind: "members",
    initial: "",
    instead: TOPOLOGY,
    help: "The members, as name=url,name=url; empty: this one alone",
  },
  {
    etcd: "listen-metrics-urls",
    kind: "urls",
    initial: "",
    instead: ["metrics.listen_addr", "metrics.tls"],
    help: "Where to answer /metrics and health, beside the clients' addresses",
  },
  {
    etcd: "pre-vote",
    kind: "boolean",
    initial: true,
    help: "Ask before raising the term",
    inert: "members always ask before they raise the term",
  },
  {
    etcd: "initial-election-tick-advance",
    kind: "boolean",
    initial: true,
    help: "Elect sooner after a start",
    inert: "a member that hears no leader asks for votes early, and disturbs no other leader",
  },
  {
    etcd: "raft-read-timeout",
    kind: "duration",
    initial: 5000,
    help: "For a connection between members",
    inert: "members find dead connections by pings, within nine seconds",
  },
  {
    etcd: "raft-write-timeout",
    kind: "duration",
    initial: 5000,
    help: "For a connection between members",
    inert: "members find dead connections by pings, within nine seconds",
  },
  {
    etcd: "force-new-cluster",
    kind: "boolean",
    initial: false,
    help: "Make this member, with its data, a cluster of its own; unsafe while the others live",
  },
  {
    etcd: "discovery-fallback",
    kind: "choice",
    initial: "exit",
    choices: ["exit", "proxy"],
    help: "What a failed discovery means",
    inert: NO_DISCOVERY,
  },
  ...["discovery", "discovery-token", "discovery-endpoints", "discovery-srv"].map(
    (etcd): EtcdSetting => ({
      etcd,
      kind: "string",
      initial: "",
      help: "How members find each other",
      refused: DISCOVERY,
    }),
  ),
  ...[
    ...["discovery-proxy", "discovery-srv-name", "discovery-cert", "discovery-key"],
    ...["discovery-cacert", "discovery-user", "discovery-password"],
  ].map(
    (etcd): EtcdSetting => ({
      etcd,
      kind: "string",
      initial: "",
      help: "For discovery",
      inert: NO_DISCOVERY,
    }),
  ),
  ...(
    [
      ["discovery-dial-timeout", 2000],
      ["discovery-request-timeout", 5000],
      ["discovery-keepalive-time", 2000],
      ["discovery-keepalive-timeout", 6000],
    ] as const
  ).map(
    ([etcd, initial]): EtcdSetting => ({
      etcd,
      kind: "duration",
      initial,
      help: "For discovery",
      inert: NO_DISCOVERY,
    }),
  ),
  {
    etcd: "discovery-insecure-transport",
    kind: "boolean",
    initial: true,
    help: "For discovery",
    inert: NO_DISCOVERY,
  },
  {
    etcd: "discovery-insecure-skip-tls-verify",
    kind: "boolean",
    initial: false,
    help: "For discovery",
    inert: NO_DISCOVERY,
  },
];
