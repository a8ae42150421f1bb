/** What the parts of a simulation share. */
import type { Log } from "../../src/base/ports.ts";
import type { MemberId } from "../../src/raft/types.ts";
import type { Network } from "./network.ts";
import type { SimNode } from "./node.ts";
import type { Observer } from "./process.ts";
import type { Schedule } from "./schedule.ts";
import type { Settings } from "./settings.ts";
import type { Trace } from "./trace.ts";

export interface World {
  readonly seed: number;
  readonly settings: Settings;
  readonly schedule: Schedule;
  readonly trace: Trace;
  readonly network: Network;
  readonly observer: Observer;
  readonly nodes: ReadonlyMap<MemberId, SimNode>;
  loggerOf(node: SimNode): Log;
  /** A process has died: somebody decides whether and when it comes back. */
  afterCrash(node: SimNode): void;
}
