/** Tables of `-w table`: a centred header in capitals, cells to the right, borders of ASCII. */
import { stringWidth } from "bun";
import type { Page } from "./page.ts";

export interface Table {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The rows as simple mode has them: cells separated by commas. */
export function simpleRows(page: Page, table: Table): void {
  for (const row of table.rows) page.line(row.join(", "));
}

/** The table with a line feed at its end. */
export function renderTable(table: Table): string {
  const header = table.header.map((name) => name.replaceAll("_", " ").toUpperCase());
  const widths = header.map((name, column) => {
    return Math.max(stringWidth(name), ...table.rows.map((row) => stringWidth(row[column] ?? "")));
  });
  const border = `+${widths.map((width) => "-".repeat(width + 2)).join("+")}+`;
  const line = (cells: readonly string[], pad: (gap: number) => number): string => {
    const padded = widths.map((width, column) => {
      const cell = cells[column] ?? "";
      const gap = width - stringWidth(cell);
      const left = pad(gap);
      return ` ${" ".repeat(left)}${cell}${" ".repeat(gap - left)} `;
    });
    return `|${padded.join("|")}|`;
  };
  const lines = [border, line(header, (gap) => Math.floor(gap / 2)), border];
  for (const row of table.rows) lines.push(line(row, (gap) => gap));
  if (table.rows.length > 0) lines.push(border);
  return `${lines.join("\n")}\n`;
}
