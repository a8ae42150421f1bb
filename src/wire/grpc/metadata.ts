/**
 * Header fields as gRPC sees them. On the wire and inside this room a field list is flat,
 * [name, value, name, value, …], Latin-1, names in lower case: one array per header block and no
 * object per field. A list has about ten fields, so a search from the front beats a Map.
 */

/** Reads a field list. Immutable; may be shared by many calls and kept by whoever likes. */
export interface Metadata {
  /** The last value of `name` (lower case), or undefined. */
  get(name: string): string | undefined;
  /** The decoded bytes of a `-bin` field, or undefined if absent or not base64. */
  binary(name: string): Uint8Array | undefined;
  /** Every field in the order of the wire, flat. Pseudo fields are among them. */
  readonly fields: readonly string[];
}

/** A Metadata over a flat list, which the caller no longer changes. */
export class FieldList implements Metadata {
  readonly fields: readonly string[];

  constructor(fields: readonly string[]) {
    this.fields = fields;
  }

  get(name: string): string | undefined {
    const fields = this.fields;
    for (let at = fields.length - 2; at >= 0; at -= 2) {
      if (fields[at] === name) return fields[at + 1];
    }
    return undefined;
  }

  binary(name: string): Uint8Array | undefined {
    const value = this.get(name);
    return value === undefined ? undefined : decodeBinary(value);
  }
}

export const NO_METADATA: Metadata = new FieldList([]);

/** The wire value of a `-bin` field: base64 without padding. */
export function encodeBinary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64").replaceAll("=", "");
}

/** Accepts base64 with and without padding; undefined if it is neither. */
export function decodeBinary(text: string): Uint8Array | undefined {
  const bare = text.replace(/={1,2}$/, "");
  if (!/^[A-Za-z0-9+/]*$/.test(bare) || bare.length % 4 === 1) return undefined;
  return new Uint8Array(Buffer.from(bare, "base64"));
}
