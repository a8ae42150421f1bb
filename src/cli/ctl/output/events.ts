/** The answers of watch: events, progress, the end. */
import { ResponseHeader, WatchResponse } from "../../../proto/gen/etcdserverpb.ts";
import { Event, EventType } from "../../../proto/gen/mvccpb.ts";
import type { Answer } from "./answer.ts";
import { messageJson } from "./go-json.ts";
import { fieldsHeader, fieldsKeyValue, type Style, simpleKeyValue } from "./key-values.ts";
import type { Page } from "./page.ts";

/** What came of a watch, as the client library of etcd shows it to etcdctl. */
export interface WatchNews {
  readonly header: ResponseHeader | undefined;
  readonly events: readonly Event[];
  readonly compactRevision: number;
  readonly canceled: boolean;
  readonly cancelReason: string;
}

export function watchAnswer(news: WatchNews, style: Style): Answer {
  return {
    simple: (page) => {
      for (const event of news.events) simpleEvent(page, event, style);
    },
    fields: (page) => {
      fieldsHeader(page, news.header, style);
      for (const event of news.events) fieldsEvent(page, event, style);
    },
    json: () => ({
      Header: messageJson(ResponseHeader, news.header ?? ResponseHeader.create()),
      // Go's name for a list that nobody made.
      Events: news.canceled ? null : news.events.map((event) => messageJson(Event, event)),
      CompactRevision: news.compactRevision,
      Canceled: news.canceled,
      Created: false,
      CancelReason: news.cancelReason,
    }),
    protobuf: (page) => {
      const { header, events, compactRevision, canceled } = news;
      const response = { header, events: [...events], compactRevision, canceled };
      WatchResponse.encode(WatchResponse.create(response), page.writer);
    },
  };
}

/** "PUT" or "DELETE". */
export function eventName(event: Event): string {
  return event.type === EventType.DELETE ? "DELETE" : "PUT";
}

function simpleEvent(page: Page, event: Event, style: Style): void {
  page.line(eventName(event));
  if (event.prevKv !== undefined) simpleKeyValue(page, event.prevKv, style);
  if (event.kv !== undefined) simpleKeyValue(page, event.kv, style);
}

function fieldsEvent(page: Page, event: Event, style: Style): void {
  page.field("Type", eventName(event));
  if (event.prevKv !== undefined) fieldsKeyValue(page, event.prevKv, style, "Prev");
  if (event.kv !== undefined) fieldsKeyValue(page, event.kv, style);
}
