/**
 * Tables of `-w table` as etcdctl 3.7 draws them: light box lines, a centred header in capitals,
 * cells to the right.
 */
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
  const border = (left: string, middle: string, right: string): string =>
    left + widths.map((width) => "─".repeat(width + 2)).join(middle) + right;
  const line = (cells: readonly string[], pad: (gap: number) => number): string => {
    const padded = widths.map((width, column) => {
      const cell = cells[column] ?? "";
      const gap = width - stringWidth(cell);
      const left = pad(gap);
      return ` ${" ".repeat(left)}${cell}${" ".repeat(gap - left)} `;
    });
    return `│${padded.join("│")}│`;
  };
  const lines = [border("┌", "┬", "┐"), line(header, (gap) => Math.floor(gap / 2))];
  if (table.rows.length > 0) lines.push(border("├", "┼", "┤"));
  for (const row of table.rows) lines.push(line(row, (gap) => gap));
  lines.push(border("└", "┴", "┘"));
  return `${lines.join("\n")}\n`;
}
