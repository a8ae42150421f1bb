/** The answers of endpoint commands: reports of several servers at once. */

import { formatDuration } from "../../../base/durations.ts";
import { HashKVResponse, StatusResponse } from "../../../proto/gen/etcdserverpb.ts";
import { quoteText } from "../../go-text.ts";
import { humaniseBytes } from "../../sizes.ts";
import type { Answer } from "./answer.ts";
import { messageJson } from "./go-json.ts";
import { fieldsHeader, type IdStyle } from "./key-values.ts";
import type { Page } from "./page.ts";
import { simpleRows, type Table } from "./table.ts";

export interface EndpointHealth {
  readonly endpoint: string;
  readonly tookNs: number;
  /** Why it is not healthy; "" when it is. */
  readonly error: string;
}

/** In simple mode, only the healthy: the others are told on standard error. */
export function healthAnswer(reports: readonly EndpointHealth[]): Answer {
  return {
    simple: (page) => {
      for (const { endpoint, tookNs, error } of reports) {
        if (error !== "") continue;
        const took = formatDuration(tookNs);
        page.line(`${endpoint} is healthy: successfully committed proposal: took = ${took}`);
      }
    },
    fields: (page) => {
      for (const { endpoint, tookNs, error } of reports) {
        page.field("Endpoint", quoteText(endpoint)).field("Health", error === "");
        page.field("Took", formatDuration(tookNs)).field("Error", error).line();
      }
    },
    json: () =>
      reports.map(({ endpoint, tookNs, error }) => ({
        endpoint,
        health: error === "",
        took: formatDuration(tookNs),
        ...(error === "" ? {} : { error }),
      })),
    table: () => ({
      header: ["endpoint", "health", "took", "error"],
      rows: reports.map(({ endpoint, tookNs, error }) => {
        return [endpoint, String(error === ""), formatDuration(tookNs), error];
      }),
    }),
  };
}

export interface EndpointStatus {
  readonly endpoint: string;
  readonly status: StatusResponse;
}

export function statusAnswer(reports: readonly EndpointStatus[], style: IdStyle): Answer {
  return {
    simple: (page) => simpleRows(page, statusTable(reports)),
    fields: (page) => {
      for (const report of reports) fieldsStatus(page, report, style);
    },
    json: () =>
      reports.map(({ endpoint, status }) => ({
        Endpoint: endpoint,
        Status: messageJson(StatusResponse, status),
      })),
    table: () => statusTable(reports),
  };
}

/** The columns of etcd 3.6 and later. */
function statusTable(reports: readonly EndpointStatus[]): Table {
  const columns: readonly (readonly [string, (status: StatusResponse) => unknown])[] = [
    ["ID", (status) => (status.header?.memberId ?? 0n).toString(16)],
    ["version", (status) => status.version],
    ["storage version", (status) => status.storageVersion],
    ["db size", (status) => humaniseBytes(status.dbSize)],
    ["in use", (status) => humaniseBytes(status.dbSizeInUse)],
    ["percentage not in use", (status) => `${unusedPercent(status)}%`],
    ["quota", (status) => humaniseBytes(status.dbSizeQuota)],
    ["is leader", (status) => status.leader === status.header?.memberId],
    ["is learner", (status) => status.isLearner],
    ["raft term", (status) => status.raftTerm],
    ["raft index", (status) => status.raftIndex],
    ["raft applied index", (status) => status.raftAppliedIndex],
    ["errors", (status) => status.errors.join(", ")],
    ["downgrade target version", (status) => status.downgradeInfo?.targetVersion ?? ""],
    ["downgrade enabled", (status) => status.downgradeInfo?.enabled ?? false],
  ];
  return {
    header: ["endpoint", ...columns.map(([name]) => name)],
    rows: reports.map(({ endpoint, status }) => {
      return [endpoint, ...columns.map(([, value]) => String(value(status)))];
    }),
  };
}

function unusedPercent({ dbSize, dbSizeInUse }: StatusResponse): number {
  return dbSize === 0 ? 0 : 100 - Math.floor((dbSizeInUse * 100) / dbSize);
}

function fieldsStatus(page: Page, { endpoint, status }: EndpointStatus, style: IdStyle): void {
  fieldsHeader(page, status.header, style);
  page.field("Version", quoteText(status.version));
  page.field("StorageVersion", quoteText(status.storageVersion));
  page.field("DBSize", status.dbSize);
  page.field("DBSizeInUse", status.dbSizeInUse);
  page.field("DBSizeQuota", status.dbSizeQuota);
  page.field("Leader", status.leader);
  page.field("IsLearner", status.isLearner);
  page.field("RaftIndex", status.raftIndex);
  page.field("RaftTerm", status.raftTerm);
  page.field("RaftAppliedIndex", status.raftAppliedIndex);
  page.field("Errors", `[${status.errors.join(" ")}]`);
  page.field("Endpoint", quoteText(endpoint));
  page.field("DowngradeTargetVersion", quoteText(status.downgradeInfo?.targetVersion ?? ""));
  page.field("DowngradeEnabled", status.downgradeInfo?.enabled ?? false);
  page.line();
}

export interface EndpointHash {
  readonly endpoint: string;
  readonly hash: HashKVResponse;
}

export function hashAnswer(reports: readonly EndpointHash[], style: IdStyle): Answer {
  const table: Table = {
    header: ["endpoint", "hash", "hash_revision"],
    rows: reports.map(({ endpoint, hash }) => {
      return [endpoint, String(hash.hash), String(hash.hashRevision)];
    }),
  };
  return {
    simple: (page) => simpleRows(page, table),
    fields: (page) => {
      for (const { endpoint, hash } of reports) {
        fieldsHeader(page, hash.header, style);
        page.field("Endpoint", quoteText(endpoint));
        page.field("Hash", hash.hash).field("HashRevision", hash.hashRevision).line();
      }
    },
    json: () =>
      reports.map(({ endpoint, hash }) => ({
        Endpoint: endpoint,
        HashKV: messageJson(HashKVResponse, hash),
      })),
    table: () => table,
  };
}
