/** What a member does by itself beside serving: old history goes, the cluster's version follows. */
import type { Clock, Log } from "../base/ports.ts";
import { ETCD_VERSION } from "../base/version.ts";
import { VersionMonitor } from "../cluster/version-monitor.ts";
import { AutoCompaction } from "../node/auto-compaction.ts";
import type { Group } from "../node/group.ts";
import { QUOTA_BYTES_ADVISED_MAX } from "../rpc/quota.ts";
import type { Config } from "./config/config.ts";

export interface UpkeepParts {
  readonly config: Config;
  readonly group: Group;
  readonly clock: Clock;
  readonly log: Log;
}

export class Upkeep {
  readonly #compaction: AutoCompaction | undefined;
  readonly #version: VersionMonitor;

  constructor({ config, ...parts }: UpkeepParts) {
    const { autoCompaction, quotaBackendBytes } = config;
    if (autoCompaction !== undefined) this.#compaction = new AutoCompaction(autoCompaction, parts);
    this.#version = new VersionMonitor({ ...parts, spoken: ETCD_VERSION });
    if (quotaBackendBytes <= QUOTA_BYTES_ADVISED_MAX) return;
    const advisedBytes = QUOTA_BYTES_ADVISED_MAX;
    parts.log.warn("the space quota is larger than advised", { quotaBackendBytes, advisedBytes });
  }

  /** To be called with every tick of the group. */
  tick(): void {
    this.#compaction?.tick();
    this.#version.tick();
  }
}
