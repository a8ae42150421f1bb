/**
 * The Worker that owns state.db of one group: rows are stored, superseded ones removed and
 * checkpoints made here, never on the main thread. An entry point of its own, see worker-link.ts.
 * A second one of its kind checks a received copy and ends (state-staging.ts).
 */
import { StateEngine, type StateEngineOptions } from "./state-engine.ts";
import { runStaging, type StageOptions } from "./state-staging.ts";
import { runWriteLoop } from "./write-loop.ts";

runWriteLoop((options: StateEngineOptions | { readonly stage: StageOptions }, post) =>
  "stage" in options ? runStaging(options.stage) : new StateEngine(options, post),
);
