/** etcd's feature gates: which there are, how they are switched, and what they can mean here. */
import { ConfigError } from "../config-error.ts";

/** Whether each is on unless it is switched, and its stage (etcd 3.7, server/features). */
const GATES = {
  CompactHashCheck: [false, "alpha"],
  FastLeaseKeepAlive: [true, "beta"],
  InitialCorruptCheck: [false, "alpha"],
  LeaseCheckpoint: [false, "alpha"],
  LeaseCheckpointPersist: [false, "alpha"],
  PriorityRequest: [false, "alpha"],
  SetMemberLocalAddr: [false, "alpha"],
  StopGRPCServiceOnDefrag: [false, "alpha"],
  TxnModeWriteWithSharedBuffer: [true, "beta"],
} as const satisfies Record<string, readonly [on: boolean, stage: "alpha" | "beta"]>;

export type Feature = keyof typeof GATES;
export type Features = Readonly<Record<Feature, boolean>>;

/** Flags that 3.4 to 3.6 had for what is a feature now, and whether they are on by default. */
export const FEATURE_TWINS: readonly (readonly [flag: string, Feature, on: boolean])[] = [
  ["experimental-initial-corrupt-check", "InitialCorruptCheck", false],
  ["experimental-compact-hash-check-enabled", "CompactHashCheck", false],
  ["experimental-enable-lease-checkpoint", "LeaseCheckpoint", false],
  ["experimental-enable-lease-checkpoint-persist", "LeaseCheckpointPersist", false],
  ["experimental-txn-mode-write-with-shared-buffer", "TxnModeWriteWithSharedBuffer", true],
  ["experimental-stop-grpc-service-on-defrag", "StopGRPCServiceOnDefrag", false],
  ["experimental-set-member-localaddr", "SetMemberLocalAddr", false],
];

/** Those that change nothing here, and why: somebody who switches one is told. */
export const INERT_FEATURES: Partial<Readonly<Record<Feature, string>>> = {
  FastLeaseKeepAlive: "keep-alives never wait for the log",
  LeaseCheckpointPersist: "what LeaseCheckpoint writes down is always kept",
  PriorityRequest: "requests are served in the order in which they come",
  SetMemberLocalAddr: "the system chooses the address that other members are called from",
  StopGRPCServiceOnDefrag: "nobody waits while space is given back",
  TxnModeWriteWithSharedBuffer: "transactions read the state without copying it",
};

export const NO_FEATURES: Features = initialFeatures();

/** Reads `Name=true,Name=false` over the defaults; ConfigError for what is none. */
export function parseFeatures(text: string, where: string, initial = NO_FEATURES): Features {
  const features: Record<Feature, boolean> = { ...initial };
  const set = new Set<string>();
  const groups: [stage: string, on: boolean][] = [];
  for (const part of text.split(",").map((each) => each.trim())) {
    if (part === "") continue;
    const [, name = "", value = ""] = /^([^=]*)(?:=(.*))?$/s.exec(part) ?? [];
    const on = booleanOf(name.trim(), value.trim(), where);
    if (name.trim() === "AllAlpha") groups.push(["alpha", on]);
    else if (name.trim() === "AllBeta") groups.push(["beta", on]);
    else {
      features[featureOf(name.trim(), where)] = on;
      set.add(name.trim());
    }
  }
  for (const [stage, on] of groups) {
    for (const [name, [, at]] of Object.entries(GATES)) {
      if (at === stage && !set.has(name)) features[name as Feature] = on;
    }
  }
  return features;
}

function initialFeatures(): Features {
  const rows = Object.entries(GATES).map(([name, [on]]) => [name, on]);
  return Object.fromEntries(rows) as Features;
}

function featureOf(name: string, where: string): Feature {
  if (Object.hasOwn(GATES, name)) return name as Feature;
  throw new ConfigError(`${where}: ${JSON.stringify(name)} is none of ${Object.keys(GATES)}`);
}

function booleanOf(name: string, text: string, where: string): boolean {
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false;
  throw new ConfigError(`${where}: ${name}: expected true or false, got ${JSON.stringify(text)}`);
}

/** Every gate as metrics show it, etcd's two groups among them: a group is off. */
export function featureStates(
  features: Features,
): { readonly name: string; readonly stage: string; readonly on: boolean }[] {
  const each = Object.entries(GATES).map(([name, [, stage]]) => ({
    name,
    stage: stage.toUpperCase(),
    on: features[name as Feature],
  }));
  const groups = ["Alpha", "Beta"].map((stage) => ({
    name: `All${stage}`,
    stage: stage.toUpperCase(),
    on: false,
  }));
  return [...groups, ...each];
}
