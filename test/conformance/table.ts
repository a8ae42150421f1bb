/** Reads fields.txt and errors.txt: sections with a title, rows of three columns. */

export interface Row {
  readonly name: string;
  /** Under test/. */
  readonly file: string;
  readonly rule: string;
}

/** Rows by the title of their section, such as "message etcdserverpb.PutRequest". */
export type Table = ReadonlyMap<string, readonly Row[]>;

/** Throws on a line that is no title and no row, and on a title or a name that comes twice. */
export function readTable(text: string): Table {
  const table = new Map<string, Row[]>();
  let rows: Row[] | undefined;
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    if (/^(service|message|enum) \S+$/.test(line)) {
      if (table.has(line)) throw new Error(`${line} comes twice`);
      rows = [];
      table.set(line, rows);
      continue;
    }
    const [name, file, rule, ...more] = line.split(" | ");
    if (rows === undefined || !name || !file || !rule || more.length > 0) {
      throw new Error(`no row: ${line}`);
    }
    if (rows.some((row) => row.name === name)) throw new Error(`${name} comes twice`);
    rows.push({ name, file, rule });
  }
  return table;
}
