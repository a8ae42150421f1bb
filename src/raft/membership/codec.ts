/**
 * A configuration change as the payload of a log entry, big-endian:
 *
 *   version u8 = 1 | transition u8 | steps u8 | steps × (action u8, member u64) | context …
 *
 * These bytes are in every log and are never reinterpreted: a new form gets a new version. What
 * does not decode applies as "no change" on every replica alike.
 */
import { ByteWriter, EMPTY_BYTES } from "../../base/bytes.ts";
import type { MemberId } from "../types.ts";
import {
  CHANGE_STEPS_MAX,
  type ChangeAction,
  type ChangeStep,
  type ConfigurationChange,
  type Transition,
} from "./change.ts";

const VERSION = 1;
const HEAD_BYTES = 3;
const STEP_BYTES = 9;

/** The position in these lists is the byte in the log: only ever append. */
const TRANSITIONS: readonly Transition[] = ["auto", "joint", "joint-manual", "leave"];
const ACTIONS: readonly ChangeAction[] = ["add-voter", "add-learner", "remove"];

/** The caller owns the bytes. The change must have at most CHANGE_STEPS_MAX steps. */
export function encodeChange(change: ConfigurationChange): Uint8Array {
  const out = new ByteWriter(HEAD_BYTES + change.steps.length * STEP_BYTES + change.context.length);
  out.u8(VERSION);
  out.u8(TRANSITIONS.indexOf(change.transition));
  out.u8(change.steps.length);
  for (const step of change.steps) {
    out.u8(ACTIONS.indexOf(step.action));
    out.u64(step.id);
  }
  out.append(change.context);
  return out.copy();
}

/** The change in a payload; undefined if it is not one. The context is borrowed from `bytes`. */
export function decodeChange(bytes: Uint8Array): ConfigurationChange | undefined {
  if (bytes.length < HEAD_BYTES || bytes[0] !== VERSION) return undefined;
  const transition = TRANSITIONS[bytes[1] as number];
  const count = bytes[2] as number;
  const end = HEAD_BYTES + count * STEP_BYTES;
  if (transition === undefined || count > CHANGE_STEPS_MAX || bytes.length < end) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const steps: ChangeStep[] = [];
  for (let at = HEAD_BYTES; at < end; at += STEP_BYTES) {
    const action = ACTIONS[bytes[at] as number];
    if (action === undefined) return undefined;
    steps.push({ action, id: view.getBigUint64(at + 1) as MemberId });
  }
  const context = end === bytes.length ? EMPTY_BYTES : bytes.subarray(end);
  return { transition, steps, context };
}
