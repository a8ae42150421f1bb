/** The answers of the lease commands. Their JSON has the header's fields beside their own. */
import { type Key, latin1 } from "../../../base/bytes.ts";
import {
  LeaseGrantResponse,
  LeaseKeepAliveResponse,
  LeaseLeasesResponse,
  LeaseRevokeResponse,
  LeaseTimeToLiveResponse,
  ResponseHeader,
} from "../../../proto/gen/etcdserverpb.ts";
import { leaseHex } from "../../integers.ts";
import type { Answer } from "./answer.ts";
import { base64, type JsonObject, messageJson } from "./go-json.ts";
import { fieldsHeader, type IdStyle, leaseText, messageForms } from "./key-values.ts";

export function grantAnswer(response: LeaseGrantResponse, style: IdStyle): Answer {
  const { header, ID, TTL, error } = response;
  return {
    ...messageForms(LeaseGrantResponse, response),
    simple: (page) => page.line(`lease ${leaseHex(ID)} granted with TTL(${TTL}s)`),
    fields: (page) => {
      fieldsHeader(page, header, style);
      page.field("ID", leaseText(ID, style.hex)).field("TTL", TTL);
    },
    json: () => ({ ...headerJson(header), ID, TTL, Error: error }),
  };
}

export function revokeAnswer(id: bigint, response: LeaseRevokeResponse, style: IdStyle): Answer {
  return {
    ...messageForms(LeaseRevokeResponse, response),
    simple: (page) => page.line(`lease ${leaseHex(id)} revoked`),
    fields: (page) => fieldsHeader(page, response.header, style),
  };
}

export function keepAliveAnswer(response: LeaseKeepAliveResponse, style: IdStyle): Answer {
  const { header, ID, TTL } = response;
  return {
    ...messageForms(LeaseKeepAliveResponse, response),
    simple: (page) => page.line(`lease ${leaseHex(ID)} keepalived with TTL(${TTL})`),
    fields: (page) => {
      fieldsHeader(page, header, style);
      page.field("ID", leaseText(ID, style.hex)).field("TTL", TTL);
    },
    json: () => ({ ...headerJson(header), ID, TTL }),
  };
}

/** `keys`: whether they were asked for. */
export function timeToLiveAnswer(
  response: LeaseTimeToLiveResponse,
  keys: boolean,
  style: IdStyle,
): Answer {
  const { header, ID, TTL, grantedTTL } = response;
  return {
    ...messageForms(LeaseTimeToLiveResponse, response),
    simple: (page) => {
      if (grantedTTL === 0 && TTL === -1) {
        page.line(`lease ${leaseHex(ID)} already expired`);
        return;
      }
      page.text(`lease ${leaseHex(ID)} granted with TTL(${grantedTTL}s), remaining(${TTL}s)`);
      if (keys) page.text(", attached keys([").raw(bytesOfKeys(response).join(" ")).text("])");
      page.line();
    },
    fields: (page) => {
      fieldsHeader(page, header, style);
      page.field("ID", leaseText(ID, style.hex)).field("TTL", TTL).field("GrantedTTL", grantedTTL);
      for (const key of bytesOfKeys(response)) page.quoted("Key", key);
    },
    json: () => ({
      ...headerJson(header),
      id: ID,
      ttl: TTL,
      "granted-ttl": grantedTTL,
      keys: response.keys.length === 0 ? null : bytesOfKeys(response).map(base64),
    }),
  };
}

function bytesOfKeys({ keys }: LeaseTimeToLiveResponse): Key[] {
  return keys.map((key) => (typeof key === "string" ? key : latin1(key)));
}

export function leasesAnswer(response: LeaseLeasesResponse, style: IdStyle): Answer {
  const { header, leases } = response;
  return {
    ...messageForms(LeaseLeasesResponse, response),
    simple: (page) => {
      page.line(`found ${leases.length} leases`);
      for (const { ID } of leases) page.line(leaseHex(ID));
    },
    fields: (page) => {
      fieldsHeader(page, header, style);
      for (const { ID } of leases) page.field("ID", leaseText(ID, style.hex));
    },
    json: () => ({ ...headerJson(header), leases: leases.map(({ ID }) => ({ id: ID })) }),
  };
}

function headerJson(header: ResponseHeader | undefined): JsonObject {
  return header === undefined ? {} : messageJson(ResponseHeader, header);
}
