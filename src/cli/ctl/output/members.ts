/** The answers about the members of the cluster, and of handing leadership over. */
import {
  type Member,
  MemberAddResponse,
  MemberListResponse,
  MoveLeaderResponse,
  type ResponseHeader,
} from "../../../proto/gen/etcdserverpb.ts";
import type { MessageType } from "../../../proto/message.ts";
import { quoteText } from "../../go-text.ts";
import type { Answer } from "./answer.ts";
import { type Json, type JsonObject, messageJson } from "./go-json.ts";
import { fieldsHeader, idText, messageForms } from "./key-values.ts";
import type { Page } from "./page.ts";
import { simpleRows, type Table } from "./table.ts";

/** `hex`: ids in JSON as hexadecimal strings. */
export function membersAnswer(response: MemberListResponse, hex: boolean): Answer {
  const table: Table = {
    header: ["ID", "status", "name", "peer addrs", "client addrs", "is learner"],
    rows: response.members.map(memberRow),
  };
  return {
    ...memberForms(MemberListResponse, response, hex),
    simple: (page) => simpleRows(page, table),
    fields: (page) => {
      fieldsHeader(page, response.header, { hex });
      for (const member of response.members) fieldsMember(page, member, hex);
    },
    table: () => table,
  };
}

/** What to start the new member with: `name` and `peerUrls` are those that were given. */
export function addedAnswer(
  response: MemberAddResponse,
  given: { readonly name: string; readonly peerUrls: string; readonly hex: boolean },
): Answer {
  const { header, member, members } = response;
  const { name, peerUrls } = given;
  const cluster = members.flatMap((each) => {
    const named = each.ID === member?.ID ? name : each.name;
    return each.peerURLs.map((url) => `${named}=${url}`);
  });
  return {
    ...memberForms(MemberAddResponse, response, given.hex),
    simple: (page) => {
      const how = member?.isLearner === true ? "added as learner to" : "added to";
      page.line(`Member ${paddedId(member?.ID)} ${how} cluster ${paddedId(header?.clusterId)}`);
      page.line();
      page.line(`ETCD_NAME=${quoteText(name)}`);
      page.line(`ETCD_INITIAL_CLUSTER=${quoteText(cluster.join(","))}`);
      page.line(`ETCD_INITIAL_ADVERTISE_PEER_URLS=${quoteText(peerUrls)}`);
      page.line('ETCD_INITIAL_CLUSTER_STATE="existing"');
    },
  };
}

interface Change {
  readonly id: bigint;
  /** As "removed from": goes before the cluster's id. */
  readonly done: string;
  readonly hex: boolean;
}

/** The answer to a change of one member. */
export function changedAnswer<T extends { header: ResponseHeader | undefined }>(
  type: MessageType<T>,
  response: T,
  { id, done, hex }: Change,
): Answer {
  const cluster = paddedId(response.header?.clusterId);
  return {
    ...memberForms(type, response, hex),
    simple: (page) => page.line(`Member ${paddedId(id)} ${done} cluster ${cluster}`),
  };
}

export function leaderAnswer(response: MoveLeaderResponse, from: bigint, to: bigint): Answer {
  return {
    ...messageForms(MoveLeaderResponse, response),
    simple: (page) =>
      page.line(`Leadership transferred from ${from.toString(16)} to ${to.toString(16)}`),
  };
}

function memberForms<T>(type: MessageType<T>, message: T, hex: boolean) {
  return {
    ...messageForms(type, message),
    json: (): Json => {
      const json = messageJson(type, message);
      return hex ? withHexIds(json) : json;
    },
  };
}

/** Go's `%16x`. */
function paddedId(id = 0n): string {
  return id.toString(16).padStart(16);
}

function memberRow({ ID, name, peerURLs, clientURLs, isLearner }: Member): string[] {
  const status = name === "" ? "unstarted" : "started";
  return [
    ID.toString(16),
    status,
    name,
    peerURLs.join(","),
    clientURLs.join(","),
    String(isLearner),
  ];
}

function fieldsMember(page: Page, member: Member, hex: boolean): void {
  page.field("ID", idText(member.ID, hex)).field("Name", quoteText(member.name));
  for (const url of member.peerURLs) page.field("PeerURL", quoteText(url));
  for (const url of member.clientURLs) page.field("ClientURL", quoteText(url));
  page.field("IsLearner", member.isLearner).line();
}

const ID_FIELDS = new Set(["cluster_id", "member_id", "ID"]);

function withHexIds(json: Json): Json {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return json.map(withHexIds);
  const copy: JsonObject = {};
  for (const [name, value] of Object.entries(json)) {
    const isId = ID_FIELDS.has(name) && typeof value === "bigint";
    copy[name] = isId ? value.toString(16) : withHexIds(value);
  }
  return copy;
}
