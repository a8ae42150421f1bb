/**
 * grpc.health.v1 (gRPC's health checking protocol): whether the server as a whole ("") or one of
 * its services serves. Watch sends the present status at once and then every change.
 */
import { AetherError } from "../base/errors.ts";
import {
  Health,
  HealthCheckRequest,
  HealthCheckResponse,
  ServingStatus,
} from "../proto/gen/grpc.health.v1.ts";
import type { Method, ServerCall, StreamHandler } from "../wire/grpc/server-call.ts";
import { GrpcCode } from "../wire/grpc/status.ts";
import { decodeRequest, fail, reply, send } from "./answer.ts";
import { oneRequest } from "./one-request.ts";

/** Who watches, and what was last said to everybody. */
export class HealthService {
  readonly #names: ReadonlySet<string>;
  readonly #watching = new Set<ServerCall>();
  /** Watches of services that do not exist: nothing changes for them but that we go away. */
  readonly #watchingNothing = new Set<ServerCall>();
  #serving = false;

  /** `names` are the services that are known besides "". */
  constructor(names: Iterable<string>) {
    this.#names = new Set(names);
  }

  /** Tells every watcher if this is news. */
  setServing(serving: boolean): void {
    if (serving === this.#serving) return;
    this.#serving = serving;
    for (const call of this.#watching) send(call, HealthCheckResponse, this.#status());
  }

  /** Ends every watch: the server is going away. */
  close(): void {
    for (const watching of [this.#watching, this.#watchingNothing]) {
      for (const call of watching) fail(call, new AetherError("stopped"));
      watching.clear();
    }
  }

  methods(): Method[] {
    return [
      {
        path: Health.Check.path,
        unary: (call, bytes, start, end) => {
          const { service } = decodeRequest(HealthCheckRequest, bytes, start, end);
          if (this.#knows(service)) reply(call, HealthCheckResponse, this.#status());
          else call.fail(GrpcCode.NOT_FOUND, "unknown service");
        },
      },
      { path: Health.Watch.path, stream: (call) => this.#watch(call) },
    ];
  }

  #knows(service: string): boolean {
    return service === "" || this.#names.has(service);
  }

  #status(): HealthCheckResponse {
    const status = this.#serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
    return HealthCheckResponse.create({ status });
  }

  #watch(call: ServerCall): StreamHandler {
    return oneRequest(call, {
      onRequest: (bytes, start, end) => {
        const { service } = decodeRequest(HealthCheckRequest, bytes, start, end);
        if (this.#knows(service)) {
          this.#watching.add(call);
          send(call, HealthCheckResponse, this.#status());
        } else {
          this.#watchingNothing.add(call);
          const unknown = HealthCheckResponse.create({ status: ServingStatus.SERVICE_UNKNOWN });
          send(call, HealthCheckResponse, unknown);
        }
      },
      onEnd: () => {
        this.#watching.delete(call);
        this.#watchingNothing.delete(call);
      },
      onDrain: () => {},
    });
  }
}
