/**
 * Runs watch scenarios: commands in, a transcript of responses out.
 *
 *   put K V | del K [END] | txn put K V, del K …     one revision; published unless held
 *   fill N                                           N revisions of the key f
 *   hold | publish                                   collect writes; publish them as one batch
 *   compact R [later] | restore                      later: rows are physically still there;
 *                                                    restore: what is held arrived by snapshot
 *   open S | close S | block S | drain S             streams; a blocked one is not writable
 *   watch S K [END] [rev=N] [id=N] [prev] [noput] [nodel] [progress] [fragment]
 *   cancel S ID | ask S | refuse S REASON
 *   step [watchers=N] [rows=N] | settle | tick MS    settle: step until there is no work
 *   limits response=N fragment=N                     before anything else
 *
 * In keys "-" is the empty key and "\0" the zero byte. A blocked stream still takes what it is
 * sent; "block S after=N" lets N more responses through first.
 */
import { Prng } from "../../src/base/prng.ts";
import { STEP_BUDGET, WatchHub, type WatchHubOptions } from "../../src/watch/hub.ts";
import type { WatchResponse, WatchRow, WatchSink } from "../../src/watch/ports.ts";
import type { WatchStream } from "../../src/watch/stream.ts";
import { type Change, MemorySource } from "./memory-source.ts";
import { type DecodedKv, decodeEvent } from "./messages.ts";

/** A stream that writes down what it is sent. */
class ScriptSink implements WatchSink {
  /** Responses it takes before it stops being writable. */
  room = Number.POSITIVE_INFINITY;
  readonly #name: string;
  readonly #out: string[];

  constructor(name: string, out: string[]) {
    this.#name = name;
    this.#out = out;
  }

  get writable(): boolean {
    return this.room > 0;
  }

  send(response: WatchResponse): void {
    this.room -= 1;
    this.#out.push(`${this.#name}: ${describeResponse(response)}`);
  }
}

interface ScriptStream {
  readonly sink: ScriptSink;
  readonly stream: WatchStream;
}

/** Interval of progress marks in scenarios; the jitter makes them come up to 10 % later. */
const INTERVAL_MS = 1000;

class World {
  readonly out: string[] = [];
  readonly #source = new MemorySource();
  readonly #streams = new Map<string, ScriptStream>();
  #hub: WatchHub;
  #held: WatchRow[] | undefined = undefined;
  #nowMs = 0;

  constructor() {
    this.#hub = this.#newHub({});
  }

  run(line: string): void {
    const [verb = "", ...words] = line.split(/\s+/);
    if (this.#runWrite(verb, words, line)) {
      if (this.#held === undefined) this.#hub.verify();
      return;
    }
    this.#runStream(verb, words);
    this.#hub.verify();
  }

  #runWrite(verb: string, words: string[], line: string): boolean {
    switch (verb) {
      case "put":
      case "txn":
      case "del":
        this.#write(this.#changes(verb === "txn" ? line.slice(4) : line));
        return true;
      case "fill":
        for (let left = Number(words[0]); left > 0; left--) this.#write(this.#changes("put f"));
        return true;
      case "hold":
        this.#held = [];
        return true;
      case "publish":
        this.#hub.publish(this.#takeHeld());
        return true;
      case "restore":
        this.#takeHeld();
        this.#hub.restored(this.#source);
        return true;
      case "compact":
        this.#source.compact(Number(words[0]), words[1] !== "later");
        return true;
      case "limits":
        this.#hub = this.#newHub(limitsOf(words));
        return true;
      case "step":
        this.#hub.step({
          ...STEP_BUDGET,
          watchers: Number(optionOf(words, "watchers") ?? STEP_BUDGET.watchers),
          rows: Number(optionOf(words, "rows") ?? STEP_BUDGET.rows),
        });
        return true;
      case "settle":
        while (this.#hub.hasWork) this.#hub.step();
        return true;
      case "tick":
        this.#nowMs += Number(words[0]);
        this.#hub.tick(this.#nowMs);
        return true;
      default:
        return false;
    }
  }

  #runStream(verb: string, words: string[]): void {
    const [name = "", ...rest] = words;
    if (verb === "open") {
      const sink = new ScriptSink(name, this.out);
      this.#streams.set(name, { sink, stream: this.#hub.openStream(sink) });
      return;
    }
    const { sink, stream } = this.#streams.get(name) as ScriptStream;
    if (verb === "close") stream.close();
    else if (verb === "block") sink.room = Number(optionOf(rest, "after") ?? 0);
    else if (verb === "drain") {
      sink.room = Number(optionOf(rest, "after") ?? Number.POSITIVE_INFINITY);
      stream.onWritable();
    } else if (verb === "watch") stream.create(watchOf(rest));
    else if (verb === "cancel") stream.cancel(Number(rest[0]));
    else if (verb === "ask") stream.requestProgress();
    else if (verb === "refuse") stream.refuse(rest.join(" "));
    else throw new Error(`no such command: ${verb}`);
  }

  #newHub(limits: Partial<WatchHubOptions>): WatchHub {
    return new WatchHub(this.#source, {
      random: new Prng(1),
      progressIntervalMs: INTERVAL_MS,
      ...limits,
    });
  }

  #takeHeld(): WatchRow[] {
    const held = this.#held ?? [];
    this.#held = undefined;
    return held;
  }

  #write(changes: Change[]): void {
    const rows = this.#source.apply(changes);
    if (this.#held === undefined) this.#hub.publish(rows);
    else this.#held.push(...rows);
  }

  #changes(text: string): Change[] {
    return text.split(",").flatMap((part): Change[] => {
      const [verb, key = "", more] = part.trim().split(/\s+/);
      if (verb === "put") return [{ key: keyOf(key), value: more ?? "" }];
      if (more === undefined) return [{ key: keyOf(key) }];
      return this.#source
        .keysFrom(keyOf(key), more === "\\0" ? "\uffff" : keyOf(more))
        .map((one) => ({ key: one }));
    });
  }
}

/** The transcript of a scenario. */
export function runScenario(commands: string): string {
  const world = new World();
  for (const line of commands.split(/[\n;]/)) {
    const command = line.replace(/#.*$/, "").trim();
    if (command !== "") world.run(command);
  }
  return world.out.join("\n");
}

function keyOf(word: string): string {
  return word === "-" ? "" : word.replaceAll("\\0", "\0");
}

function optionOf(words: readonly string[], name: string): string | undefined {
  return words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
}

function limitsOf(words: readonly string[]): Partial<WatchHubOptions> {
  return {
    responseBytes: Number(optionOf(words, "response") ?? 1 << 20),
    fragmentBytes: Number(optionOf(words, "fragment") ?? 1 << 21),
  };
}

const FLAGS = ["prev", "noput", "nodel", "progress", "fragment"];

function watchOf(words: readonly string[]) {
  const [key = "", end = "-"] = words.filter((word) => !/=/.test(word) && !FLAGS.includes(word));
  return {
    key: keyOf(key),
    rangeEnd: keyOf(end),
    startRevision: Number(optionOf(words, "rev") ?? 0),
    watchId: Number(optionOf(words, "id") ?? 0),
    prevKv: words.includes("prev"),
    noPut: words.includes("noput"),
    noDelete: words.includes("nodel"),
    progressNotify: words.includes("progress"),
    fragment: words.includes("fragment"),
  };
}

/** One line, as scenarios show it; "@" is the header's revision, "!" one that is left out. */
export function describeResponse(response: WatchResponse): string {
  const header = response.revision === 0 ? "!" : `@${response.revision}`;
  const subject = `${response.kind} ${response.watchId} ${header}`;
  switch (response.kind) {
    case "created":
      return response.reason === undefined ? subject : `${subject} refused: ${response.reason}`;
    case "canceled":
      return response.compactRevision === 0
        ? subject
        : `${subject} compacted ${response.compactRevision}`;
    case "progress":
      return subject;
    case "events": {
      const events = response.batch.events.map(describeEvent).join(", ");
      return `${subject}${response.fragment ? " more:" : ":"} ${events}`;
    }
  }
}

function describeEvent(bytes: Uint8Array): string {
  const { isDelete, kv, prevKv } = decodeEvent(bytes);
  const what = isDelete ? `del ${keyText(kv)}@${kv.modRevision}` : `put ${describeKv(kv)}`;
  return prevKv === undefined ? what : `${what} was ${describeKv(prevKv)}`;
}

function describeKv(kv: DecodedKv): string {
  return `${keyText(kv)}=${kv.value}@${kv.modRevision}`;
}

function keyText(kv: DecodedKv): string {
  return kv.key.replaceAll("\0", "\\0");
}
