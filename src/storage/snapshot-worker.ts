/**
 * The Worker that writes one snapshot and ends (etcd/export-worker.ts). An entry point of its own,
 * see worker-link.ts: what it needs of etcd's format would delay every start of the state's Worker.
 */
import { runExport } from "./etcd/export-worker.ts";
import { runWriteLoop } from "./write-loop.ts";

runWriteLoop(runExport);
