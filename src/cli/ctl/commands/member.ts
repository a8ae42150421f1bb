/** `member …`: the servers of the cluster, and changes of that. */
import {
  Cluster,
  MemberPromoteResponse,
  MemberRemoveResponse,
  MemberUpdateResponse,
} from "../../../proto/gen/etcdserverpb.ts";
import { EXIT, ExitError } from "../../exit.ts";
import { parseHexId } from "../../integers.ts";
import type { Command } from "../command.ts";
import { MESSAGE_FORMATS } from "../command-info.ts";
import type { Invocation } from "../invocation.ts";
import type { Format } from "../output/answer.ts";
import { addedAnswer, changedAnswer, membersAnswer } from "../output/members.ts";
import { numberArgument } from "../words.ts";
import { isSerializable } from "./get.ts";

const CHANGE_FORMATS: readonly Format[] = ["simple", "json", "protobuf"];

const MEMBER_ID = {
  id: { type: "positional", required: true, description: "The member's id, in hexadecimal" },
} as const;

const PEER_URLS = {
  "peer-urls": {
    type: "string",
    default: "",
    valueHint: "list",
    description: "Where other members reach it: http://host:port, separated by commas",
  },
} as const;

export const memberList: Command = {
  name: "member list",
  summary: "Lists the servers of the cluster",
  about: "The columns of simple mode: id, status, name, peer urls, client urls, is learner.",
  args: {
    consistency: {
      type: "string",
      default: "l",
      valueHint: "l|s",
      description: "Linearizable, or serializable: perhaps a little old",
    },
  },
  formats: [...MESSAGE_FORMATS, "table"],
  examples: ["member list -w table"],
  async run(call) {
    const linearizable = !isSerializable(call.args.text("consistency"));
    const response = await call.call(Cluster.MemberList, { linearizable });
    call.print(membersAnswer(response, call.globals.hex));
  },
};

export const memberAdd: Command = {
  name: "member add",
  summary: "Adds a server to the cluster, before it is started",
  about: [
    "Shows what to start it with. A learner copies the state without a vote and is promoted when",
    "it has caught up: until then it cannot cost the cluster its quorum.",
  ].join("\n"),
  args: {
    name: { type: "positional", required: true, description: "What it will be called" },
    ...PEER_URLS,
    learner: { type: "boolean", description: "Without a vote, until it is promoted" },
  },
  formats: CHANGE_FORMATS,
  examples: ["member add c --learner --peer-urls=http://10.0.0.3:2380"],
  async run(call) {
    const { args, globals } = call;
    const name = newName(args.positionals);
    const peerURLs = peerUrls(call);
    const isLearner = args.on("learner");
    const response = await call.call(Cluster.MemberAdd, { peerURLs, isLearner });
    const given = { name, peerUrls: args.text("peer-urls"), hex: globals.hex };
    call.print(addedAnswer(response, given));
  },
};

function newName([name, ...more]: readonly string[]): string {
  if (name === undefined) throw badArgument("member name not provided");
  if (more.length === 0) return name;
  const urls = [name, ...more].filter((word) => /^http/i.test(word));
  const hints = urls.map((url) => `, did you mean --peer-urls=${url}`);
  throw badArgument(`too many arguments${hints.join("")}`);
}

export const memberRemove: Command = {
  name: "member remove",
  summary: "Removes a server from the cluster",
  about: "Its id can never come back: to return, it has to be added anew and start without data.",
  args: MEMBER_ID,
  formats: CHANGE_FORMATS,
  examples: ["member remove c89feb932daef420"],
  async run(call) {
    const ID = memberId(call);
    const response = await call.call(Cluster.MemberRemove, { ID });
    const change = { id: ID, done: "removed from", hex: call.globals.hex };
    call.print(changedAnswer(MemberRemoveResponse, response, change));
  },
};

export const memberUpdate: Command = {
  name: "member update",
  summary: "Tells the cluster where else a server is reached by the others",
  args: { ...MEMBER_ID, ...PEER_URLS },
  formats: CHANGE_FORMATS,
  examples: ["member update c89feb932daef420 --peer-urls=http://10.0.0.4:2380"],
  async run(call) {
    const ID = memberId(call);
    const peerURLs = peerUrls(call);
    const response = await call.call(Cluster.MemberUpdate, { ID, peerURLs });
    const change = { id: ID, done: "updated in", hex: call.globals.hex };
    call.print(changedAnswer(MemberUpdateResponse, response, change));
  },
};

export const memberPromote: Command = {
  name: "member promote",
  summary: "Gives a learner its vote",
  about: "Refused until it has caught up with the leader; try again.",
  args: MEMBER_ID,
  formats: CHANGE_FORMATS,
  examples: ["member promote c89feb932daef420"],
  async run(call) {
    const ID = memberId(call);
    const response = await call.call(Cluster.MemberPromote, { ID });
    const change = { id: ID, done: "promoted in", hex: call.globals.hex };
    call.print(changedAnswer(MemberPromoteResponse, response, change));
  },
};

function memberId({ args: { positionals } }: Invocation): bigint {
  if (positionals.length !== 1) throw badArgument("member ID is not provided");
  const parse = (): bigint => parseHexId(positionals[0] as string);
  return numberArgument("bad member ID arg", ", expecting ID in Hex", parse);
}

/** Throws ExitError, in the words of etcd's client, for what cannot be where a member lives. */
function peerUrls({ args }: Invocation): string[] {
  const text = args.text("peer-urls");
  if (text === "") throw badArgument("member peer urls not provided");
  const urls = text.split(",");
  for (const url of urls) checkPeerUrl(url.trim());
  return urls;
}

function checkPeerUrl(url: string): void {
  const [, scheme = "", host = "", path = ""] = /^([a-z]+):\/\/([^/?#]*)(.*)$/s.exec(url) ?? [];
  let fault: string | undefined;
  if (!/^(http|unix)s?$/.test(scheme)) fault = "URL scheme must be http, https, unix, or unixs";
  else if (!/^([^:[\]]*|\[[^[\]]*\]):[^:]*$/.test(host)) {
    fault = 'URL address does not have the form "host:port"';
  } else if (path !== "") fault = "URL must not contain a path";
  if (fault !== undefined) throw new ExitError(EXIT.FAILED, `${fault}: ${url}`);
}

function badArgument(message: string): ExitError {
  return new ExitError(EXIT.BAD_ARGUMENTS, message);
}
