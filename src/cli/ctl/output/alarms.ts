/** The answers of the alarm commands. */
import { AlarmResponse, AlarmType } from "../../../proto/gen/etcdserverpb.ts";
import type { Answer } from "./answer.ts";
import { fieldsHeader, type IdStyle, idText, messageForms } from "./key-values.ts";

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(AlarmType).map(([name, alarm]) => [alarm, name]),
);

/** The name of a type of alarm; one that we do not know is its number. */
export function alarmName(alarm: number): string {
  return NAMES.get(alarm) ?? String(alarm);
}

export function alarmsAnswer(response: AlarmResponse, style: IdStyle): Answer {
  return {
    ...messageForms(AlarmResponse, response),
    simple: (page) => {
      for (const { memberID, alarm } of response.alarms) {
        // With a blank at its end, and without a member that is 0, as etcdctl prints it.
        const member = memberID === 0n ? "" : `memberID:${memberID} `;
        page.line(`${member}alarm:${alarmName(alarm)} `);
      }
    },
    fields: (page) => {
      fieldsHeader(page, response.header, style);
      for (const { memberID, alarm } of response.alarms) {
        page
          .field("MemberID", idText(memberID, style.hex))
          .field("AlarmType", alarmName(alarm))
          .line();
      }
    },
  };
}
