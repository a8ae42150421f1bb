/**
 * The algebra of membership changes (§4). A change that touches at most one voter needs no joint
 * phase, since any majority before meets any majority after it; every other goes through a
 * configuration in which both halves must agree.
 *
 *   (1 2 3) ── add 4 ──> (1 2 3 4)                                       simple
 *   (1 2 3) ── enter ──> (1 4 5)&(1 2 3) ── leave ──> (1 4 5)            joint
 *
 * Applying a change is a pure function of (configuration, change): every replica gets the same
 * answer, also when the answer is that the change does not fit and nothing happens.
 */
import type { Configuration, MemberId } from "../types.ts";
import {
  EMPTY_CONFIGURATION,
  faultOf,
  isJoint,
  isMember,
  isVoter,
  sorted,
} from "./configuration.ts";

export type ChangeAction = "add-voter" | "add-learner" | "remove";

/** `add-voter` promotes a learner, `add-learner` demotes a voter. */
export interface ChangeStep {
  readonly action: ChangeAction;
  readonly id: MemberId;
}

/**
 * auto: simple if one voter or none changes hands, else joint    joint: joint, left without asking
 * joint-manual: joint, until a `leave` is proposed               leave: ends the joint phase
 */
export type Transition = "auto" | "joint" | "joint-manual" | "leave";

export interface ConfigurationChange {
  readonly transition: Transition;
  /** Each member at most once; none for `leave`. */
  readonly steps: readonly ChangeStep[];
  /** Carried along for the driver (addresses, names); Raft does not look at it. */
  readonly context: Uint8Array;
}

/** Steps in one change; a group has 3 to 7 voters and a change replaces at most all of them. */
export const CHANGE_STEPS_MAX = 64;

/** The configuration after a change, or why it does not fit. */
export type ChangeResult =
  | { readonly ok: true; readonly configuration: Configuration }
  | { readonly ok: false; readonly why: string };

/** Applies a change; never throws, changes nothing in place. */
export function applyChange(from: Configuration, change: ConfigurationChange): ChangeResult {
  if (change.transition === "leave") return leave(from, change);
  if (isJoint(from)) return refused("a joint configuration must be left first");
  if (change.steps.length === 0) return refused("the change has no step");
  if (change.steps.length > CHANGE_STEPS_MAX) return refused("the change has too many steps");
  const draft = draftOf(from);
  const seen = new Set<MemberId>();
  for (const step of change.steps) {
    if (seen.has(step.id) || step.id <= 0n) return refused(`member ${step.id} is named wrongly`);
    seen.add(step.id);
    takeStep(draft, step);
  }
  if (draft.voters.size === 0) return refused("no voter would be left");
  const joint = change.transition !== "auto" || votersChanged(from, draft) > 1;
  return checked(joint ? jointOf(from, draft, change.transition !== "joint-manual") : plain(draft));
}

/** The change that ends a joint phase. */
export function leaveChange(): ConfigurationChange {
  return { transition: "leave", steps: [], context: new Uint8Array(0) };
}

interface Draft {
  readonly voters: Set<MemberId>;
  readonly learners: Set<MemberId>;
}

function draftOf(from: Configuration): Draft {
  return { voters: new Set(from.voters), learners: new Set(from.learners) };
}

function takeStep(draft: Draft, { action, id }: ChangeStep): void {
  draft.voters.delete(id);
  draft.learners.delete(id);
  if (action === "add-voter") draft.voters.add(id);
  else if (action === "add-learner") draft.learners.add(id);
}

/** How many voters came or went. */
function votersChanged(from: Configuration, draft: Draft): number {
  let changed = 0;
  for (const id of from.voters) if (!draft.voters.has(id)) changed++;
  for (const id of draft.voters) if (!from.voters.includes(id)) changed++;
  return changed;
}

function plain(draft: Draft): Configuration {
  return {
    ...EMPTY_CONFIGURATION,
    voters: sorted(draft.voters),
    learners: sorted(draft.learners),
  };
}

/** Both halves; a demoted voter still votes in the outgoing one and learns only afterwards. */
function jointOf(from: Configuration, draft: Draft, autoLeave: boolean): Configuration {
  const demoted = [...draft.learners].filter((id) => from.voters.includes(id));
  const learners = [...draft.learners].filter((id) => !from.voters.includes(id));
  return {
    voters: sorted(draft.voters),
    votersOutgoing: from.voters,
    learners: sorted(learners),
    learnersNext: sorted(demoted),
    autoLeave,
  };
}

function leave(from: Configuration, change: ConfigurationChange): ChangeResult {
  if (!isJoint(from)) return refused("the configuration is not joint");
  if (change.steps.length > 0) return refused("leaving changes nothing else");
  return checked({
    ...EMPTY_CONFIGURATION,
    voters: from.voters,
    learners: sorted([...from.learners, ...from.learnersNext]),
  });
}

function checked(configuration: Configuration): ChangeResult {
  const fault = faultOf(configuration);
  return fault === undefined ? { ok: true, configuration } : refused(fault);
}

function refused(why: string): ChangeResult {
  return { ok: false, why };
}

/** Which learners a change makes vote, for a driver's checks (they must have caught up). */
export function promotedBy(from: Configuration, change: ConfigurationChange): MemberId[] {
  return change.steps
    .filter((step) => step.action === "add-voter" && !isVoter(from, step.id))
    .filter((step) => isMember(from, step.id))
    .map((step) => step.id);
}
