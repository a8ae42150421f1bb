/**
 * The version that the cluster speaks (state/cluster-version.ts): the leader looks now and then
 * whether it should be another one, as etcd's does every five seconds. All members are this
 * program, so what they can speak is what it does.
 */
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { Clock, Log } from "../base/ports.ts";
import { DowngradeAction, DowngradeRequest } from "../proto/gen/etcdserverpb.ts";
import type { ClusterVersion } from "../state/cluster-version.ts";
import { CommandKind } from "../state/command.ts";
import type { Outcome } from "../state/results.ts";

/** etcd's monitorVersionInterval. */
const LOOK_MS = 5000;

export interface VersionGroup {
  readonly machine: { readonly clusterVersion: Pick<ClusterVersion, "next" | "version"> };
  readonly isLeader: boolean;
  /** An entry of the term is applied here. */
  readonly isReady: boolean;
  propose(
    kind: CommandKind,
    bytes: Uint8Array,
    start: number,
    end: number,
    done: (outcome: Outcome) => void,
  ): void;
}

export interface VersionMonitorParts {
  readonly group: VersionGroup;
  readonly clock: Clock;
  readonly log: Log;
  /** What this program answers as. */
  readonly spoken: string;
}

export class VersionMonitor {
  readonly #parts: VersionMonitorParts;
  readonly #body = new ByteWriter(64);
  #dueMs: number;

  constructor(parts: VersionMonitorParts) {
    this.#parts = parts;
    this.#dueMs = parts.clock.monotonicMs() + LOOK_MS;
  }

  /** To be called with every tick of the group, at every member. */
  tick(): void {
    const { group, clock, spoken } = this.#parts;
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#dueMs) return;
    this.#dueMs = nowMs + LOOK_MS;
    const version = group.isLeader && group.isReady && group.machine.clusterVersion.next(spoken);
    if (typeof version === "string") this.#set(version);
  }

  #set(version: string): void {
    const { group, log } = this.#parts;
    const from = group.machine.clusterVersion.version;
    DowngradeRequest.encode({ action: DowngradeAction.VALIDATE, version }, this.#body);
    const body = this.#body.view();
    group.propose(CommandKind.clusterVersion, body, 0, body.length, (outcome) => {
      if (outcome instanceof AetherError) {
        log.warn("the cluster's version was not changed", { version, reason: outcome.message });
      } else log.info("the cluster's version is another one", { from, to: version });
    });
    this.#body.reset();
  }
}
