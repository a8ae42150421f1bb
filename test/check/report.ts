/** Words for what a checker found: calls and answers, one to a line. */
import type { Refused } from "./execute.ts";
import type { May, Must, Problem } from "./problem.ts";
import type { Answer, Compare, Operation, Request, SeenKeyValue } from "./requests.ts";
import type { DeadEnd } from "./search.ts";

/** Requests that are shown of those that could be put in order. */
const DONE_MAX = 12;

/** What was put in order last, and why nothing else can follow. */
export function describeDeadEnd({ done, left, revision }: DeadEnd): string {
  const keys = new Set(left.flatMap(({ must }) => keysOf(must.request)));
  const touching = done.filter(({ request }) => keysOf(request).some((key) => keys.has(key)));
  const shown = (keys.size === 0 ? done : touching).slice(-DONE_MAX);
  return [
    `${done.length} requests have an order, up to revision ${revision}; last of the same keys:`,
    ...shown.map((one) => `  ${describeRequest(one)}`),
    "none of these can come next:",
    ...left.flatMap(({ must, why }) => [`  ${describeRequest(must)}`, `      ${why}`]),
  ].join("\n");
}

export function describeIds(problem: Problem, ids: readonly string[]): string {
  const all = [...problem.musts, ...problem.mays, ...problem.stales];
  const lines = ids.map((id) => {
    const found = all.find((one) => one.id === id);
    return found === undefined ? `  ${id}` : `  ${describeRequest(found)}`;
  });
  return lines.join("\n");
}

export function describeRequest(one: Must | May): string {
  const request = requestText(one.request);
  const called = one.called.toFixed(3);
  if (!("seen" in one)) return `[${called}, ?] ${one.id} ${request} -> no answer`;
  const answer = answerText(one.seen);
  return `[${called}, ${one.returned.toFixed(3)}] ${one.id} ${request} -> ${answer}`;
}

export function requestText(request: Request): string {
  switch (request.kind) {
    case "txn": {
      const compares = request.compare.map(compareText).join(" and ");
      const branches = [request.success, request.failure].map((branch) => {
        return `{${branch.map(operationText).join("; ")}}`;
      });
      return `if ${compares} ${branches.join(" else ")}`;
    }
    case "grant":
      return `grant ${request.id} for ${request.ttlSeconds} s`;
    case "revoke":
    case "renew":
    case "life":
      return `${request.kind} ${request.id}`;
    case "compact":
      return `compact ${request.revision}`;
    default:
      return operationText(request);
  }
}

export function kvText(kv: SeenKeyValue): string {
  const { key, value, modRevision, createRevision, version, lease } = kv;
  const at = modRevision === undefined ? "" : `@${modRevision}`;
  const life = createRevision === undefined ? "" : ` v${version} since ${createRevision}`;
  const bound = lease === undefined || lease === "0" ? "" : ` of lease ${lease}`;
  return `${key}=${value ?? "?"}${at}${life}${bound}`;
}

function keysOf(request: Request): string[] {
  if (request.kind === "txn") {
    const { compare, success, failure } = request;
    return [...compare, ...success, ...failure].map(({ key }) => key);
  }
  return "key" in request ? [request.key] : [];
}

function operationText(operation: Operation): string {
  const { kind, key } = operation;
  if (kind === "put") {
    const { value, lease = "0" } = operation;
    return `put ${key}=${value}${lease === "0" ? "" : ` of lease ${lease}`}`;
  }
  const end = operation.end === undefined ? "" : `..${JSON.stringify(operation.end)}`;
  if (kind === "delete") return `delete ${key}${end}`;
  const { revision = 0, serializable = false } = operation;
  const at = revision > 0 ? ` at ${revision}` : "";
  return `${serializable ? "stale " : ""}get ${key}${end}${at}`;
}

function compareText({ target, key, result, value, number }: Compare): string {
  return `${target}(${key}) ${result} ${target === "value" ? value : (number ?? 0)}`;
}

function answerText(answer: Answer | Refused): string {
  const at = "revision" in answer && answer.revision !== undefined ? `@${answer.revision} ` : "";
  switch (answer.kind) {
    case "refused":
      return `refused: ${answer.code}`;
    case "put":
      return at + (answer.prevKv ? `was ${kvText(answer.prevKv)}` : "ok");
    case "delete": {
      const before = (answer.prevKvs ?? []).map(kvText).join(", ");
      return `${at}${answer.deleted} deleted ${before}`.trim();
    }
    case "range":
      return `${at}[${(answer.kvs ?? []).map(kvText).join(", ")}]`;
    case "txn": {
      const parts = answer.responses.map(answerText).join("; ");
      return `${at}${answer.succeeded ? "success" : "failure"} {${parts}}`;
    }
    case "renew":
    case "life":
      return `${answer.ttlSeconds} s`;
    case "grant":
      return `${at}${answer.id} for ${answer.ttlSeconds} s`;
    default:
      return `${at}ok`;
  }
}
