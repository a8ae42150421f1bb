/**
 * Alarms over the log: every member sees the same ones. etcd's Alarm clears what a request names;
 * ours takes member 0 for every member and type NONE for every type.
 */
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { Group } from "../node/group.ts";
import {
  AetherMaintenance,
  AlarmAddRequest,
  AlarmDeleteRequest,
  AlarmListRequest,
} from "../proto/gen/aether.v1.ts";
import {
  AlarmAction,
  type AlarmMember,
  AlarmRequest,
  AlarmResponse,
  AlarmType,
  Maintenance,
} from "../proto/gen/etcdserverpb.ts";
import { CommandKind } from "../state/command.ts";
import type { Method, ServerCall } from "../wire/grpc/server-call.ts";
import { decodeRequest, fail, reply } from "./answer.ts";
import { headerAt, type Identity } from "./headers.ts";
import { failProposal } from "./refused-proposal.ts";

export interface AlarmBackend {
  readonly group: Group;
  readonly identity: Identity;
}

/** Which alarms are meant: 0 and NONE stand for all. */
type Wanted = Pick<AlarmMember, "memberID" | "alarm">;

export function alarmMethods({ group, identity }: AlarmBackend): Method[] {
  const alarms = new AlarmCalls(group, identity);
  return [
    {
      path: Maintenance.Alarm.path,
      unary: (call, bytes, start, end) => {
        const request = decodeRequest(AlarmRequest, bytes, start, end);
        // etcd's GET looks at the type alone.
        if (request.action === AlarmAction.GET) alarms.list(call, { ...request, memberID: 0n });
        else alarms.change(call, request);
      },
    },
    {
      path: AetherMaintenance.AlarmList.path,
      unary: (call, bytes, start, end) =>
        alarms.list(call, decodeRequest(AlarmListRequest, bytes, start, end)),
    },
    {
      path: AetherMaintenance.AlarmAdd.path,
      unary: (call, bytes, start, end) => {
        const { memberID, alarm } = decodeRequest(AlarmAddRequest, bytes, start, end);
        if (memberID === 0n || alarm === AlarmType.NONE) {
          throw new AetherError("invalid_argument", "an alarm has a member and a type");
        }
        alarms.change(call, { action: AlarmAction.ACTIVATE, memberID, alarm });
      },
    },
    {
      path: AetherMaintenance.AlarmDelete.path,
      unary: (call, bytes, start, end) =>
        alarms.clear(call, decodeRequest(AlarmDeleteRequest, bytes, start, end)),
    },
  ];
}

/** An alarm as etcd 3.7 prints it: scripts compare it. (Until 3.6 a blank stood at its end.) */
export function alarmText({ memberID, alarm }: AlarmMember): string {
  const member = memberID === 0n ? [] : [`memberID:${memberID}`];
  return [...member, `alarm:${alarmName(alarm)}`].join(" ");
}

/** etcd's name of a type of alarm; the number of one that it does not know. */
export function alarmName(alarm: number): string {
  return NAMES.get(alarm) ?? String(alarm);
}

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(AlarmType).map(([name, alarm]) => [alarm, name]),
);

class AlarmCalls {
  readonly #group: Group;
  readonly #identity: Identity;
  readonly #body = new ByteWriter(64);

  constructor(group: Group, identity: Identity) {
    this.#group = group;
    this.#identity = identity;
  }

  /** What is raised, as of everything that was decided before. */
  list(call: ServerCall, wanted: Wanted): void {
    this.#group.read((error) => {
      if (error === undefined) this.#answer(call, this.#raised(wanted));
      else fail(call, error);
    });
  }

  /** Raises or clears one; the answer names it, if there was something to do or to find. */
  change(call: ServerCall, request: AlarmRequest): void {
    this.#propose(request, (changed) => {
      if (changed instanceof AetherError) failProposal(call, this.#group, changed);
      else this.#answer(call, changed);
    });
  }

  /** Clears whatever is wanted, and names it; stops at the first failure. */
  clear(call: ServerCall, wanted: Wanted): void {
    this.#group.read((error) => {
      if (error === undefined) this.#clearAll(call, this.#raised(wanted));
      else fail(call, error);
    });
  }

  #clearAll(call: ServerCall, raised: readonly AlarmMember[]): void {
    const cleared: AlarmMember[] = [];
    let waiting = raised.length;
    let failure: AetherError | undefined;
    if (waiting === 0) this.#answer(call, cleared);
    for (const { memberID, alarm } of raised) {
      this.#propose({ action: AlarmAction.DEACTIVATE, memberID, alarm }, (changed) => {
        if (changed instanceof AetherError) failure ??= changed;
        else cleared.push(...changed);
        waiting--;
        if (waiting > 0) return;
        if (failure === undefined) this.#answer(call, cleared);
        else failProposal(call, this.#group, failure);
      });
    }
  }

  #raised({ memberID, alarm }: Wanted): AlarmMember[] {
    return this.#group.machine
      .alarms()
      .filter(
        (each) =>
          (memberID === 0n || each.memberID === memberID) &&
          (alarm === AlarmType.NONE || each.alarm === alarm),
      );
  }

  #propose(
    request: AlarmRequest,
    done: (alarms: readonly AlarmMember[] | AetherError) => void,
  ): void {
    AlarmRequest.encode(request, this.#body);
    const body = this.#body.view();
    this.#group.propose(CommandKind.alarm, body, 0, body.length, (outcome) => {
      if (outcome instanceof AetherError) done(outcome);
      else done(outcome.kind === "alarm" ? outcome.alarms : []);
    });
    this.#body.reset();
  }

  #answer(call: ServerCall, alarms: readonly AlarmMember[]): void {
    const { machine, term } = this.#group;
    const header = headerAt(this.#identity, machine.revision, term);
    reply(call, AlarmResponse, { header, alarms: [...alarms] });
  }
}
