/** A client that watches every key at one member and writes down what it is told. */
import type { Key } from "../../src/base/bytes.ts";
import type { Group } from "../../src/node/group.ts";
import type { WatchResponse } from "../../src/watch/ports.ts";
import type { WatchStream } from "../../src/watch/stream.ts";
import { decodeEvent } from "../watch/messages.ts";

export class Watched {
  /** "revision key=value", in the order in which they came. */
  readonly events: string[] = [];
  /** Revisions of progress marks. */
  readonly marks: number[] = [];
  /** Why watchers ended. */
  readonly ends: string[] = [];
  /** False: the client does not read. */
  writable = true;
  readonly #group: Group;
  readonly #stream: WatchStream;

  constructor(group: Group, startRevision = 0) {
    const key = "\0" as Key;
    this.#group = group;
    this.#stream = group.hub.openStream(this);
    const flags = { progressNotify: true, noPut: false, noDelete: false, prevKv: false };
    this.#stream.create({
      key,
      rangeEnd: key,
      startRevision,
      ...flags,
      watchId: 0,
      fragment: false,
    });
    group.wakeHub();
  }

  send(response: WatchResponse): void {
    if (response.kind === "canceled") this.ends.push(`compacted at ${response.compactRevision}`);
    if (response.kind === "progress") this.marks.push(response.revision);
    if (response.kind !== "events") return;
    for (const bytes of response.batch.events) {
      const { kv } = decodeEvent(bytes);
      this.events.push(`${kv.modRevision} ${kv.key}=${kv.value}`);
    }
  }

  /** The client reads again. */
  resume(): void {
    this.writable = true;
    this.#stream.onWritable();
    this.#group.wakeHub();
  }

  /** The revisions that were told. */
  get revisions(): number[] {
    return this.events.map((text) => Number.parseInt(text, 10));
  }
}
