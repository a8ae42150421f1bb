/** Flags that etcd has given up: of 3.4's proxy and v2 API, and what 3.x ignores since 0.x. */
import type { EtcdSetting } from "../setting.ts";

const NO_V2 = "the API v2 is served by nobody since etcd 3.6";
const NO_PROXY = "a proxy of the API v2 is no member";
const IGNORED = "etcd ignores it since version 2";

export const OLD_SETTINGS: readonly EtcdSetting[] = [
  { etcd: "enable-v2", kind: "boolean", initial: false, help: "Serve the API v2", refused: NO_V2 },
  {
    etcd: "experimental-enable-v2v3",
    kind: "string",
    initial: "",
    help: "Serve the API v2 below this prefix",
    refused: NO_V2,
  },
  {
    etcd: "v2-deprecation",
    kind: "string",
    initial: "write-only",
    help: "What becomes of the API v2",
    inert: NO_V2,
  },
  {
    etcd: "proxy",
    kind: "choice",
    initial: "off",
    choices: ["off", "readonly", "on"],
    help: "Be a proxy of the API v2",
    refused: NO_PROXY,
  },
  ...(
    [
      ["proxy-failure-wait", 5000],
      ["proxy-refresh-interval", 30_000],
      ["proxy-dial-timeout", 1000],
      ["proxy-write-timeout", 5000],
      ["proxy-read-timeout", 0],
    ] as const
  ).map(
    ([etcd, initial]): EtcdSetting => ({
      etcd,
      kind: "integer",
      initial,
      help: "For --proxy",
      inert: NO_PROXY,
    }),
  ),
  ...[
    ...["cluster-active-size", "cluster-remove-delay", "cluster-sync-interval", "force"],
    ...["max-result-buffer", "max-retry-attempts", "peer-heartbeat-interval"],
    ...["peer-election-timeout", "retry-interval", "snapshot", "v", "vv"],
  ].map(
    (etcd): EtcdSetting => ({
      etcd,
      kind: "string",
      initial: "",
      valueOptional: true,
      help: "Of etcd 0.x",
      inert: IGNORED,
    }),
  ),
];
