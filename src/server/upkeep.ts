/**
 * What a member does by itself beside serving: it compares its state with the others' before, old
 * history goes, the cluster's version follows, certificates of its own making are renewed.
 */
import type { Clock } from "../base/ports.ts";
import { ETCD_VERSION } from "../base/version.ts";
import { VersionMonitor } from "../cluster/version-monitor.ts";
import { AutoCompaction } from "../node/auto-compaction.ts";
import type { Group } from "../node/group.ts";
import { QUOTA_BYTES_ADVISED_MAX } from "../rpc/quota.ts";
import type { Config } from "./config/config.ts";
import { CertificateRenewal, makesCertificates } from "./self-signed.ts";
import { type StartCheckParts, statesCompared } from "./start-check.ts";

export interface UpkeepParts extends StartCheckParts {
  readonly config: Config;
  readonly group: Group;
  readonly clock: Clock;
}

export class Upkeep {
  readonly #parts: UpkeepParts;
  readonly #compaction: AutoCompaction | undefined;
  readonly #version: VersionMonitor;
  readonly #certificates: CertificateRenewal | undefined;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
    const { autoCompaction, quotaBackendBytes } = parts.config;
    if (makesCertificates(parts.config)) {
      this.#certificates = new CertificateRenewal(parts.config, parts.clock, parts.log);
    }
    if (autoCompaction !== undefined) this.#compaction = new AutoCompaction(autoCompaction, parts);
    this.#version = new VersionMonitor({ ...parts, spoken: ETCD_VERSION });
    if (quotaBackendBytes <= QUOTA_BYTES_ADVISED_MAX) return;
    const advisedBytes = QUOTA_BYTES_ADVISED_MAX;
    parts.log.warn("the space quota is larger than advised", { quotaBackendBytes, advisedBytes });
  }

  /** With the feature InitialCorruptCheck: rejects if another member holds another state. */
  async beforeServing(): Promise<void> {
    if (this.#parts.config.features.InitialCorruptCheck) await statesCompared(this.#parts);
  }

  /** To be called with every tick of the group. */
  tick(): void {
    this.#compaction?.tick();
    void this.#certificates?.tick();
    this.#version.tick();
  }
}
