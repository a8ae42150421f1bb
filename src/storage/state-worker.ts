/**
 * The Worker that owns state.db of one group: rows are stored, superseded ones removed and
 * checkpoints made here, never on the main thread. An entry point of its own, see worker-link.ts.
 * Others of its kind have one thing to do and end: to check a received copy (state-staging.ts), to
 * write a snapshot (etcd/export-worker.ts).
 */
import { type ExportRequest, runExport } from "./etcd/export-worker.ts";
import { StateEngine, type StateEngineOptions } from "./state-engine.ts";
import { runStaging, type StageOptions } from "./state-staging.ts";
import { runWriteLoop } from "./write-loop.ts";

type Work = StateEngineOptions | { readonly stage: StageOptions } | { export: ExportRequest };

runWriteLoop((work: Work, post) => {
  if ("stage" in work) return runStaging(work.stage);
  if ("export" in work) return runExport(work.export);
  return new StateEngine(work, post);
});
