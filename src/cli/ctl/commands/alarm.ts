/** `alarm …`: what members have raised because they cannot go on by themselves. */
import {
  AlarmAction,
  type AlarmMember,
  AlarmResponse,
  Maintenance,
} from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import type { Command } from "../command.ts";
import { MESSAGE_FORMATS } from "../command-info.ts";
import type { Invocation } from "../invocation.ts";
import { alarmsAnswer } from "../output/alarms.ts";

export const alarmList: Command = {
  name: "alarm list",
  summary: "Lists the alarms of all members",
  args: {},
  formats: MESSAGE_FORMATS,
  examples: ["alarm list"],
  async run(call) {
    requireNoArguments(call);
    call.print(alarmsAnswer(await call.call(Maintenance.Alarm, {}), call.style));
  },
};

export const alarmDisarm: Command = {
  name: "alarm disarm",
  summary: "Clears every alarm",
  about: "Whatever was wrong has to be put right first, or the alarm will be back.",
  args: {},
  formats: MESSAGE_FORMATS,
  examples: ["alarm disarm"],
  async run(call) {
    requireNoArguments(call);
    const client = await call.client();
    const { alarms } = await call.call(Maintenance.Alarm, {}, client);
    const cleared: AlarmMember[] = [];
    for (const { memberID, alarm } of alarms) {
      const request = { action: AlarmAction.DEACTIVATE, memberID, alarm };
      cleared.push(...(await call.call(Maintenance.Alarm, request, client)).alarms);
    }
    call.print(alarmsAnswer(AlarmResponse.create({ alarms: cleared }), call.style));
  },
};

function requireNoArguments({ args, command }: Invocation): void {
  if (args.positionals.length === 0) return;
  throw new ExitError(EXIT.BAD_ARGUMENTS, `${command.name} command accepts no arguments`);
}
