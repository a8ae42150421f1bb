/**
 * Header fields of a request as the metadata of its call (grpc-gateway, runtime/context.go):
 *
 *   Authorization           authorization, and grpcgateway-authorization
 *   Grpc-Metadata-Name      name
 *   other known fields      grpcgateway-name
 *   Host, the client        x-forwarded-host, x-forwarded-for
 *   Grpc-Timeout            the deadline; not metadata
 */
import { AetherError } from "../../base/errors.ts";
import { decodeBinary, encodeBinary, FieldList, type Metadata } from "../../wire/grpc/metadata.ts";
import { parseGrpcTimeout } from "../../wire/grpc/timeout.ts";
import type { HttpRequest } from "../../wire/http1/http.ts";

/** Fields that IANA lists as permanent, as grpc-gateway has the list. */
const PERMANENT = new Set(
  (
    "accept accept-charset accept-language accept-ranges authorization cache-control " +
    "content-type cookie date expect from host if-match if-modified-since if-none-match " +
    "if-schedule-tag-match if-unmodified-since max-forwards origin pragma referer user-agent " +
    "via warning"
  ).split(" "),
);

const METADATA_PREFIX = "grpc-metadata-";
const PERMANENT_PREFIX = "grpcgateway-";

const NAME = /^[0-9a-z._-]+$/;
const TEXT = /^[\x20-\x7e]*$/;

/** invalid_argument when a binary field is no base64. */
export function metadataOf({ headers, peer }: HttpRequest): Metadata {
  const fields: string[] = [];
  for (let at = 0; at < headers.fields.length; at += 2) {
    const name = headers.fields[at] as string;
    const value = headers.fields[at + 1] as string;
    if (name === "authorization") fields.push(name, value);
    const key = keyOf(name);
    if (key === undefined || !NAME.test(key)) continue;
    if (key.endsWith("-bin")) fields.push(key, binaryValue(name, value));
    else if (TEXT.test(value)) fields.push(key, value);
  }
  const host = headers.get("x-forwarded-host") ?? headers.get("host");
  if (host !== undefined && host !== "") fields.push("x-forwarded-host", host);
  const client = /^\[?(.*?)\]?:\d+$/.exec(peer)?.[1];
  const via = headers.get("x-forwarded-for");
  const chain = [via, client].filter((each) => each !== undefined);
  if (chain.length > 0) fields.push("x-forwarded-for", chain.join(", "));
  return new FieldList(fields);
}

function keyOf(name: string): string | undefined {
  if (PERMANENT.has(name)) return PERMANENT_PREFIX + name;
  return name.startsWith(METADATA_PREFIX) ? name.slice(METADATA_PREFIX.length) : undefined;
}

function binaryValue(name: string, value: string): string {
  const bytes = decodeBinary(value);
  if (bytes !== undefined) return encodeBinary(bytes);
  const written = name.replaceAll(/(?:^|-)[a-z]/g, (start) => start.toUpperCase());
  throw new AetherError("invalid_argument", `invalid binary header ${written}: no base64`);
}

/**
 * Milliseconds that the client gives the call; 0 or less: they have passed; Infinity: it says
 * nothing, or "0S", which etcd takes for nothing. invalid_argument when it is no timeout.
 */
export function timeoutMsOf({ headers }: HttpRequest): number {
  const text = headers.get("grpc-timeout");
  if (text === undefined || text === "") return Number.POSITIVE_INFINITY;
  const match = /^([+-]?\d{1,18})([HMSmun])$/.exec(text);
  const unitMs = match === null ? undefined : parseGrpcTimeout(`1${match[2]}`);
  if (match === null || unitMs === undefined) {
    throw new AetherError("invalid_argument", `invalid grpc-timeout: ${text}`);
  }
  const timeoutMs = Number(match[1]) * unitMs;
  return timeoutMs === 0 ? Number.POSITIVE_INFINITY : timeoutMs;
}
