/**
 * A watch of everything at one member, from the first revision on. It goes on behind what it was
 * told, whatever happens to the member, and writes down every response.
 */
import { EtcdClient } from "../../src/client/etcd-client.ts";
import { GrpcError } from "../../src/client/grpc-error.ts";
import {
  Watch,
  WatchCreateRequest,
  WatchRequest,
  type WatchResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import { type Event, EventType } from "../../src/proto/gen/mvccpb.ts";
import type { Recorder, SeenEvent, WatchRecorder } from "../check/history.ts";
import { keyValue } from "./wire-form.ts";

/** Between two tries: a member that is down is asked again soon, but not without a break. */
const PAUSE_MS = 50;
const EVERYTHING = { key: "\0", end: "\0" };

export class RecordingWatch {
  readonly #client: EtcdClient;
  readonly #recorder: Recorder;
  readonly #running: Promise<void>;
  #stopped = false;
  #watcher: WatchRecorder | undefined;
  /** The first revision that it was not told of. */
  #next = 2;

  constructor(endpoint: string, recorder: Recorder) {
    this.#client = new EtcdClient({ endpoints: [endpoint] });
    this.#recorder = recorder;
    this.#running = this.#run();
  }

  /** It was told of everything up to here. */
  get revision(): number {
    return this.#next - 1;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#client.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#watch();
      } catch (error) {
        if (!(error instanceof GrpcError)) throw error; // else the member is gone
      }
      await Bun.sleep(PAUSE_MS);
    }
  }

  /** One stream with one watcher, until it ends. */
  async #watch(): Promise<void> {
    const startRevision = this.#next;
    const createRequest = WatchCreateRequest.create({
      key: EVERYTHING.key,
      rangeEnd: EVERYTHING.end,
      startRevision,
      prevKv: true,
      progressNotify: true,
    });
    const stream = this.#client.channel.open(Watch.Watch);
    stream.send(WatchRequest.create({ createRequest }));
    const request = { ...EVERYTHING, startRevision, prevKv: true, without: [] };
    const before = this.#watcher;
    for await (const response of stream) {
      // A stream that brought nothing is not worth a watcher.
      if (response.created) this.#watcher = this.#recorder.watch(request, before);
      const watcher = this.#watcher;
      if (watcher !== undefined && this.#take(response, watcher)) continue;
      stream.cancel();
      return;
    }
  }

  /** False once the watcher is canceled. */
  #take(response: WatchResponse, watcher: WatchRecorder): boolean {
    const revision = response.header?.revision ?? 0;
    if (response.created) watcher.created(revision);
    if (response.canceled) {
      watcher.canceled(response.compactRevision);
      this.#watcher = undefined; // what was compacted is missed: another history begins
      this.#next = Math.max(this.#next, response.compactRevision);
      return false;
    }
    if (response.events.length > 0) {
      watcher.events(revision, response.events.map(seenEvent), response.fragment);
      this.#next = (response.events.at(-1)?.kv?.modRevision ?? 0) + 1;
    } else if (!response.created) {
      watcher.progress(revision);
      this.#next = Math.max(this.#next, revision + 1);
    }
    return true;
  }
}

function seenEvent({ type, kv, prevKv }: Event): SeenEvent {
  if (kv === undefined) throw new Error("an event without a key");
  return {
    type: type === EventType.DELETE ? "delete" : "put",
    kv: keyValue(kv),
    prevKv: prevKv === undefined ? null : keyValue(prevKv),
  };
}
