/** etcd's Lock service (v3lockpb) over coord/. */
import { lock, unlock } from "../coord/lock.ts";
import {
  Lock,
  LockRequest,
  LockResponse,
  UnlockRequest,
  UnlockResponse,
} from "../proto/gen/v3lockpb.ts";
import type { Method, ServerCall } from "../wire/grpc/server-call.ts";
import { decodeRequest, reply } from "./answer.ts";
import { headerAt } from "./headers.ts";
import type { CoordinationBackend, WaitingCalls } from "./waiting-calls.ts";

export function lockMethods(
  { identity, group }: CoordinationBackend,
  calls: WaitingCalls,
): Method[] {
  const header = (revision: number) => headerAt(identity, revision, group.term);
  const onLock = (call: ServerCall, ...request: Bytes): void => {
    const asked = decodeRequest(LockRequest, ...request);
    calls.run(call, async (participant) => {
      const { key, revision } = await lock(participant, asked);
      reply(call, LockResponse, { header: header(revision), key });
    });
  };
  const onUnlock = (call: ServerCall, ...request: Bytes): void => {
    const { key } = decodeRequest(UnlockRequest, ...request);
    calls.run(call, async ({ keys }) => {
      reply(call, UnlockResponse, { header: header(await unlock(keys, key)) });
    });
  };
  return [
    { path: Lock.Lock.path, unary: onLock },
    { path: Lock.Unlock.path, unary: onUnlock },
  ];
}

type Bytes = readonly [bytes: Uint8Array, start: number, end: number];
