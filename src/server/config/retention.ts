/** How much history automatic compaction keeps, from etcd's two flags (embed/etcd.go). */
import { parseDurationMs } from "../../base/durations.ts";
import type { Retention } from "../../node/auto-compaction.ts";
import { ConfigError } from "./config-error.ts";

const MS_PER_HOUR = 3_600_000;
const NS_PER_MS = 1_000_000;

/**
 * `text` is hours or revisions, as `mode` says, or a duration; undefined if it is 0 or empty: all
 * is kept. A duration is as many revisions as it has nanoseconds (etcd's quirk).
 */
export function retentionOf(mode: string, text: string): Retention | undefined {
  if (text === "") return undefined;
  const isCount = /^\+?\d+$/.test(text);
  const count = Number(text);
  const ms = isCount ? count * MS_PER_HOUR : parseDurationMs(text);
  if (ms === undefined || ms < 0 || !Number.isSafeInteger(isCount ? count : Math.round(ms))) {
    throw new ConfigError(
      `--auto-compaction-retention: expected hours, revisions or a duration, got "${text}"`,
    );
  }
  if (ms === 0) return undefined;
  if (mode === "periodic") return { periodMs: ms };
  return { revisions: isCount ? count : ms * NS_PER_MS };
}
