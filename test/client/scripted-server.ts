/** Servers whose watch and lease answers a test writes by hand. */
import { ByteWriter } from "../../src/base/bytes.ts";
import {
  Lease,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  ResponseHeader,
  Watch,
  WatchRequest,
  WatchResponse,
} from "../../src/proto/gen/etcdserverpb.ts";
import { Event, KeyValue } from "../../src/proto/gen/mvccpb.ts";
import type { MessageType } from "../../src/proto/message.ts";
import type { Method, ServerCall } from "../../src/wire/grpc/server-call.ts";

/** One stream as the script sees it. */
export interface ScriptedStream<Request, Response> {
  readonly requests: Request[];
  readonly cancelled: () => boolean;
  readonly call: ServerCall;
  send(response: Partial<Response>): void;
}

export function scripted<Request, Response>(
  path: string,
  request: MessageType<Request>,
  response: MessageType<Response>,
  onStream: (stream: ScriptedStream<Request, Response>) => void,
  onRequest: (stream: ScriptedStream<Request, Response>, message: Request) => void,
): Method {
  return {
    path,
    stream: (call) => {
      let cancelled = false;
      const stream: ScriptedStream<Request, Response> = {
        requests: [],
        call,
        cancelled: () => cancelled,
        send: (partial) => {
          const out = new ByteWriter();
          response.encode(response.create(partial), out);
          call.send(out.bytes, 0, out.length);
        },
      };
      onStream(stream);
      return {
        onMessage: (bytes, start, end) => {
          const message = request.decode(bytes, start, end);
          stream.requests.push(message);
          onRequest(stream, message);
        },
        onHalfClose: () => call.finish(),
        onCancel: () => {
          cancelled = true;
        },
        onDrain: () => undefined,
      };
    },
  };
}

export type WatchStream = ScriptedStream<WatchRequest, WatchResponse>;
export type RenewalStream = ScriptedStream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>;

export function watchMethod(onRequest: (stream: WatchStream, message: WatchRequest) => void): {
  readonly method: Method;
  readonly streams: WatchStream[];
} {
  const streams: WatchStream[] = [];
  const keep = (stream: WatchStream): void => {
    streams.push(stream);
  };
  const { path } = Watch.Watch;
  return { method: scripted(path, WatchRequest, WatchResponse, keep, onRequest), streams };
}

export function renewalMethod(
  onRequest: (stream: RenewalStream, message: LeaseKeepAliveRequest) => void,
): { readonly method: Method; readonly streams: RenewalStream[] } {
  const streams: RenewalStream[] = [];
  const keep = (stream: RenewalStream): void => {
    streams.push(stream);
  };
  const { path } = Lease.LeaseKeepAlive;
  const types = [LeaseKeepAliveRequest, LeaseKeepAliveResponse] as const;
  return { method: scripted(path, ...types, keep, onRequest), streams };
}

export const header = (revision: number): ResponseHeader => ResponseHeader.create({ revision });

/** A put of `key` at `modRevision`. */
export function put(key: string, modRevision: number): Event {
  return Event.create({ kv: KeyValue.create({ key, modRevision }) });
}
