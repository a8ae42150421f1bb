/**
 * The version that the cluster speaks, as replicated records, and a downgrade that was begun. Until
 * somebody sets it, it is FIRST_VERSION, whatever program asks: what this one answers as is no part
 * of the state. Rules of etcd's server/etcdserver/version.
 *
 * A downgrade in etcd prepares the members for the program one minor version below. Here it changes
 * what is said of the version, also by snapshots, which that program then takes; nothing of what is
 * stored.
 */
import { assert } from "../base/assert.ts";
import type { Key } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import { DowngradeAction, type DowngradeRequest } from "../proto/gen/etcdserverpb.ts";
import type { StateRecord } from "./ports.ts";

/** Records: a format byte and the text of a version. */
export const VERSION_SPACE = "version";
const CLUSTER_KEY = "cluster";
const TARGET_KEY = "downgrade";
const VERSION_FORMAT = 1;

const FIRST_VERSION = "3.7.0";

/** A version without its patch level. */
interface Minor {
  readonly major: number;
  readonly minor: number;
}

export class ClusterVersion {
  #version = FIRST_VERSION;
  #target: string | undefined = undefined;

  /** As in "3.7.0"; the last number is always 0. */
  get version(): string {
    return this.#version;
  }

  /** Where a downgrade that was begun leads to. */
  get downgradeTarget(): string | undefined {
    return this.#target;
  }

  /** The leader has seen what the members speak, or where a downgrade leads to. */
  set(text: string, records: StateRecord[]): void {
    this.#version = canonical(text);
    records.push(recordOf(CLUSTER_KEY, this.#version));
  }

  /** Begins or ends a downgrade; fails as checkDowngrade(). What was not begun can be ended. */
  downgrade({ action, version }: DowngradeRequest, records: StateRecord[]): void {
    if (action === DowngradeAction.ENABLE) this.#target = this.checkDowngrade(version);
    else this.#target = undefined;
    records.push(recordOf(TARGET_KEY, this.#target));
  }

  /**
   * Where a downgrade to `text` would lead to. Fails with downgrade_version_format,
   * invalid_downgrade_target unless that is one minor version below, downgrade_in_progress.
   */
  checkDowngrade(text: string): string {
    const target = canonical(text);
    const { major, minor } = parse(this.#version);
    if (target !== textOf({ major, minor: minor - 1 })) {
      throw new AetherError("invalid_downgrade_target", `the cluster speaks ${this.#version}`);
    }
    if (this.#target !== undefined) throw new AetherError("downgrade_in_progress", this.#target);
    return target;
  }

  /** What the cluster should speak, if that is another version, where all members can `spoken`. */
  next(spoken: string): string | undefined {
    if (this.#target !== undefined)
      return this.#target === this.#version ? undefined : this.#target;
    const own = parse(this.#version);
    const best = parse(spoken);
    return best.major === own.major && best.minor > own.minor ? textOf(best) : undefined;
  }

  /** Takes over a record; false if it is not one of a version. */
  restore(space: string, key: Key, value: Uint8Array): boolean {
    if (space !== VERSION_SPACE) return false;
    assert(value[0] === VERSION_FORMAT, "a known record");
    const text = Buffer.from(value).latin1Slice(1);
    assert(KEPT.test(text), "a version is kept without its patch level");
    if (key === CLUSTER_KEY) this.#version = text;
    else if (key === TARGET_KEY) this.#target = text;
    return true;
  }
}

function recordOf(key: Key, text: string | undefined): StateRecord {
  const value = text === undefined ? undefined : Buffer.from(`${LEAD}${text}`, "latin1");
  return { space: VERSION_SPACE, key, value };
}

const LEAD = String.fromCharCode(VERSION_FORMAT);

/** Patch level and what follows are taken and left out (cluster_util.go). */
function canonical(text: string): string {
  return textOf(parse(text));
}

function textOf({ major, minor }: Minor): string {
  return `${major}.${minor}.0`;
}

const NUMBERS = /^(\d{1,9})\.(\d{1,9})(?:\.\d{1,9}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)?$/;

/** As textOf() makes it. */
const KEPT = /^(?:0|[1-9]\d{0,8})\.(?:0|[1-9]\d{0,8})\.0$/;

function parse(text: string): Minor {
  const found = NUMBERS.exec(text);
  if (found === null) throw new AetherError("downgrade_version_format", `"${text}"`);
  return { major: Number(found[1]), minor: Number(found[2]) };
}
