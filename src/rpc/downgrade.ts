/**
 * Downgrade, as etcd 3.7 answers it: whether the cluster may go one minor version down, that it
 * should, and that it should not. Nothing of what Aether stores depends on it.
 */
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { Group } from "../node/group.ts";
import {
  DowngradeAction,
  DowngradeRequest,
  DowngradeResponse,
  Maintenance,
} from "../proto/gen/etcdserverpb.ts";
import { CommandKind } from "../state/command.ts";
import type { ServerCall, UnaryMethod } from "../wire/grpc/server-call.ts";
import { decodeRequest, fail, guarded, reply } from "./answer.ts";
import { headerAt, type Identity } from "./headers.ts";
import { failProposal } from "./refused-proposal.ts";

export interface DowngradeBackend {
  readonly group: Group;
  readonly identity: Identity;
}

export function downgradeMethod({ group, identity }: DowngradeBackend): UnaryMethod {
  const body = new ByteWriter(64);
  const answer = (call: ServerCall): void => {
    const { machine, term } = group;
    const version = machine.clusterVersion.version.replace(/\.0$/, "");
    reply(call, DowngradeResponse, { header: headerAt(identity, machine.revision, term), version });
  };
  const change = (call: ServerCall, request: DowngradeRequest): void => {
    DowngradeRequest.encode(request, body);
    const bytes = body.view();
    group.propose(CommandKind.downgrade, bytes, 0, bytes.length, (outcome) => {
      if (outcome instanceof AetherError) failProposal(call, group, outcome);
      else answer(call);
    });
    body.reset();
  };
  return {
    path: Maintenance.Downgrade.path,
    unary: (call, bytes, start, end) => {
      const request = decodeRequest(DowngradeRequest, bytes, start, end);
      const { action } = request;
      // A job to cancel need not be there: etcd 3.7 says yes all the same.
      if (action === DowngradeAction.CANCEL) change(call, request);
      else if (action !== DowngradeAction.VALIDATE && action !== DowngradeAction.ENABLE) {
        throw new AetherError("unknown_method");
      } else {
        group.read((error) => {
          if (error !== undefined) fail(call, error);
          else
            guarded(call, () => {
              group.machine.clusterVersion.checkDowngrade(request.version);
              if (action === DowngradeAction.ENABLE) change(call, request);
              else answer(call);
            });
        });
      }
    },
  };
}
