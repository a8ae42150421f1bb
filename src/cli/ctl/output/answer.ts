/**
 * What a command has to say, in each form it can say it; the form is chosen by `-w`. A form that
 * is missing is refused before the command does anything: `put -w table` writes nothing.
 */
import { EXIT, ExitError } from "../../exit.ts";
import { type Json, stringify } from "./go-json.ts";
import { Page } from "./page.ts";
import { renderTable, type Table } from "./table.ts";

export const FORMATS = ["simple", "json", "fields", "table", "protobuf"] as const;
export type Format = (typeof FORMATS)[number];

export interface Answer {
  simple(page: Page): void;
  json?(): Json;
  fields?(page: Page): void;
  table?(): Table;
  /** The raw message, without a line feed. */
  protobuf?(page: Page): void;
}

/** The bytes of the answer in one form. */
export function formatAnswer(answer: Answer, format: Format): Uint8Array {
  const page = new Page();
  if (format === "simple") answer.simple(page);
  else if (format === "json" && answer.json) page.line(stringify(answer.json()));
  else if (format === "fields" && answer.fields) answer.fields(page);
  else if (format === "table" && answer.table) page.text(renderTable(answer.table()));
  else if (format === "protobuf" && answer.protobuf) answer.protobuf(page);
  else throw unsupportedFormat(format);
  return page.view();
}

/** The failure of a form that the command cannot have. */
export function unsupportedFormat(format: Format): ExitError {
  return new ExitError(EXIT.UNSUPPORTED, `${format} not supported as output format`);
}
