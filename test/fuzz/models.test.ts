/**
 * The models of the store, the watches and the leases, with seeds that nobody chose. Each has a
 * test of its own beside it, with more of the same seeds at every run.
 */
import fc from "fast-check";
import { runLeaseModel } from "../node/lease-model.ts";
import { runModel as runStateModel } from "../state/model-run.ts";
import { MachineStore } from "../watch/machine-store.ts";
import { memoryStore, runModel as runWatchModel } from "../watch/model-run.ts";
import { fuzz } from "./fuzz.ts";

const seeds = fc.nat();

/** A run is long enough to come to every part of the rules, and short enough to be looked at. */
const STATE_STEPS = 600;
const LEASE_STEPS = 500;

fuzz({
  name: "state-model",
  inputs: [seeds],
  check: (seed) => runStateModel(seed, STATE_STEPS),
  runs: 2,
});

fuzz({
  name: "watch-model",
  inputs: [seeds, fc.boolean()],
  check: (seed, isMachine) => {
    runWatchModel(seed, isMachine ? new MachineStore(seed) : memoryStore());
  },
  runs: 4,
});

fuzz({
  name: "lease-model",
  inputs: [seeds],
  check: (seed) => runLeaseModel(seed, LEASE_STEPS),
  runs: 20,
});
