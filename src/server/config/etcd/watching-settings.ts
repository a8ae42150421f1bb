/** etcd's flags for log lines, traces, checks and features. */
import type { EtcdSetting } from "../setting.ts";
import { FEATURE_TWINS } from "./features.ts";

const NO_TRACES = "spans are not exported";

export const WATCHING_SETTINGS: readonly EtcdSetting[] = [
  {
    etcd: "logger",
    kind: "choice",
    initial: "zap",
    choices: ["zap", "capnslog"],
    help: "The form of log lines that etcd's --log-format speaks of",
  },
  {
    etcd: "log-format",
    kind: "choice",
    initial: "",
    choices: ["", "console", "json"],
    instead: ["log.json"],
    help: "Form of log lines: json when called as etcd, else console",
  },
  {
    etcd: "log-outputs",
    kind: "list",
    initial: "default",
    instead: ["log.log_dir"],
    help: "Where log lines go: default, stderr, stdout or files",
  },
  {
    etcd: "enable-log-rotation",
    kind: "boolean",
    initial: false,
    help: "Rotate the one file of --log-outputs",
  },
  {
    etcd: "log-rotation-config-json",
    kind: "string",
    initial:
      '{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}',
    help: "maxsize in MB, maxage in days, maxbackups, compress",
  },
  { etcd: "debug", kind: "boolean", initial: false, help: "etcd 3.4's --log-level=debug" },
  {
    etcd: "log-package-levels",
    kind: "string",
    initial: "",
    help: "Levels of etcd 3.4's packages",
    inert: "--log-level is for all lines",
  },
  {
    etcd: "warning-unary-request-duration",
    twins: ["experimental-warning-unary-request-duration"],
    kind: "duration",
    initial: 300,
    help: "A call that takes longer is warned of",
  },
  {
    etcd: "warning-apply-duration",
    twins: ["experimental-warning-apply-duration"],
    kind: "duration",
    initial: 100,
    help: "A request that takes longer to apply is warned of",
  },
  {
    etcd: "enable-distributed-tracing",
    twins: ["experimental-enable-distributed-tracing"],
    kind: "boolean",
    initial: false,
    help: "Export spans",
    inert: NO_TRACES,
  },
  ...(["address", "service-name", "instance-id"] as const).map(
    (name): EtcdSetting => ({
      etcd: `distributed-tracing-${name}`,
      twins: [`experimental-distributed-tracing-${name}`],
      kind: "string",
      initial: "",
      help: "For spans",
      inert: NO_TRACES,
    }),
  ),
  {
    etcd: "distributed-tracing-sampling-rate",
    twins: ["experimental-distributed-tracing-sampling-rate"],
    kind: "integer",
    initial: 0,
    help: "For spans",
    inert: NO_TRACES,
  },
  {
    etcd: "corrupt-check-time",
    twins: ["experimental-corrupt-check-time"],
    kind: "duration",
    initial: 0,
    instead: ["cluster.corrupt_check_interval_s"],
    help: "Between two comparisons of the members' states; 0: never",
  },
  {
    etcd: "compact-hash-check-time",
    twins: ["experimental-compact-hash-check-time"],
    kind: "duration",
    initial: 60_000,
    min: 1,
    help: "Between two looks for compactions, which the feature CompactHashCheck compares after",
  },
  {
    etcd: "downgrade-check-time",
    twins: ["experimental-downgrade-check-time"],
    kind: "duration",
    initial: 5000,
    help: "Between two looks whether a downgrade is done",
    inert: "a downgrade is over when somebody cancels it: all members are this program",
  },
  {
    etcd: "feature-gates",
    kind: "string",
    initial: "",
    help: "Features to switch, as Name=true,Name=false",
  },
  ...FEATURE_TWINS.map(
    ([etcd, feature, initial]): EtcdSetting => ({
      etcd,
      kind: "boolean",
      initial,
      help: `--feature-gates=${feature} of etcd 3.4 and 3.5`,
    }),
  ),
];
