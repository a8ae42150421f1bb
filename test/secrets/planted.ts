/**
 * Secrets that are planted, and the search for them in all that a program says. A secret is looked
 * for as it is and in the forms in which programs show bytes: hexadecimal, base64 of either
 * alphabet, whatever stands before it in the same bytes; and all of these as HTTP/2 packs fields
 * (RFC 7541 §5.2), whatever stands before them in the same bits.
 */
import { HUFFMAN_BITS, HUFFMAN_CODES } from "../../src/wire/hpack/huffman-code.ts";

/** Something that was said, and where. */
export interface Said {
  readonly where: string;
  readonly bytes: Uint8Array | string;
}

export class Planted {
  /** Each form of each secret, with its name. */
  readonly #forms: { readonly name: string; readonly form: string }[] = [];
  readonly #said: Said[] = [];
  #count = 0;

  /** Makes a secret of its own; letters and digits, so that no quoting changes it. */
  draw(name: string): string {
    const digits = Bun.hash.wyhash(`${name} ${++this.#count}`, 7n).toString(36);
    const secret = `Px${digits.padStart(14, "0")}`;
    this.plant(name, secret);
    return secret;
  }

  /** A secret that somebody else made, such as a token or a line of a key's file. */
  plant(name: string, secret: string): void {
    if (secret.length < 10) throw new Error(`${name} is too short to be told from chance`);
    for (const form of formsOf(secret)) this.#forms.push({ name, form });
  }

  /** Keeps what was said for disclosures(). */
  hear(where: string, bytes: Uint8Array | string): void {
    this.#said.push({ where, bytes });
  }

  get heardCount(): number {
    return this.#said.length;
  }

  /** Where which secret was said: `stdout: root's password`; each once. */
  disclosures(): string[] {
    const found = new Set<string>();
    for (const { where, bytes } of this.#said) {
      const text = typeof bytes === "string" ? bytes : Buffer.from(bytes).toString("latin1");
      for (const { name, form } of this.#forms) {
        if (text.includes(form)) found.add(`${where}: ${name}`);
      }
    }
    return [...found];
  }
}

function formsOf(secret: string): Set<string> {
  const bytes = Buffer.from(secret);
  const forms = new Set([secret, encodeURIComponent(secret), bytes.toString("hex")]);
  forms.add(bytes.toString("hex").toUpperCase());
  for (const before of [0, 1, 2]) {
    for (const alphabet of ["base64", "base64url"] as const) {
      forms.add(innerBase64(bytes, before, alphabet));
    }
  }
  for (const form of [...forms]) for (const packed of packedForms(form)) forms.add(packed);
  return forms;
}

/** The whole bytes of the Huffman code of `text`, at each of the eight places of its first bit. */
function packedForms(text: string): string[] {
  let bits = "";
  for (const symbol of Buffer.from(text)) {
    const length = HUFFMAN_BITS[symbol] as number;
    bits += (HUFFMAN_CODES[symbol] as number).toString(2).padStart(length, "0");
  }
  return Array.from({ length: 8 }, (_, skipped) => {
    const bytes = bits.slice(skipped).match(/.{8}/g) ?? [];
    return String.fromCharCode(...bytes.map((byte) => Number.parseInt(byte, 2)));
  });
}

/** Base64 of the bytes after `before` others, without the letters that depend on the neighbours. */
function innerBase64(bytes: Buffer, before: number, alphabet: "base64" | "base64url"): string {
  const whole = Buffer.concat([Buffer.alloc(before), bytes]);
  const from = before === 0 ? 0 : before + 1;
  const to = Math.floor((whole.length * 8) / 6);
  return whole.toString(alphabet).slice(from, to);
}
