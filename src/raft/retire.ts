/**
 * The end of a leader that is removed or becomes a learner (§4.2.2).
 *
 * A change counts for each member when that member applies it, so at the moment the leader finds
 * itself without a vote, the others may not even know that the change is committed. Were it to
 * stop now, they would go on needing its vote:
 *
 *   (1 2) ── 1 removes itself ──> 1: (2), stops      2: still (1 2), never wins without 1
 *
 * So it leads on without counting itself, until a majority of the new voters has it on disk that
 * the change is committed. Any election after that finds one of them. It takes no proposals from
 * the moment it appended the change, or inherited it: what its log has after it is committed with
 * it or not at all, so the best of the others is level with it, whatever crashes meanwhile.
 */
import { type Core, sendNow } from "./core.ts";
import type { Progress } from "./progress/progress.ts";
import { becomeFollower } from "./role.ts";
import { NOBODY } from "./types.ts";

/** Whether this leader is on its way out and takes no proposals. */
export function isRetiring(core: Core): boolean {
  return core.retireIndex !== 0;
}

/** Stops leading if enough of the others know; hands over to the best of them at once. */
export function maybeRetire(core: Core): void {
  if (core.retireIndex === 0 || core.log.applied < core.retireIndex) return;
  if (core.tracker.quorumKnownCommit() < core.retireIndex) return;
  const heir = bestVoter(core);
  if (heir !== undefined) {
    sendNow(core, { type: "timeout-now", from: core.id, to: heir.id, term: core.term });
  }
  becomeFollower(core, core.term, NOBODY);
}

/** A voter whose log is level with ours. */
function bestVoter(core: Core): Progress | undefined {
  return core.tracker.peers.find((peer) => !peer.isLearner && peer.match === core.log.lastIndex);
}
