/**
 * What a command prints, collected: texts and raw bytes. Keys and values go out exactly as they
 * are stored; only texts of ours are encoded.
 */
import { ByteWriter, type Key } from "../../../base/bytes.ts";
import { quoteBytes } from "../../go-text.ts";

export class Page {
  readonly #out = new ByteWriter(1024);

  /** Appends text as UTF-8. */
  text(text: string): this {
    this.#out.append(Buffer.from(text, "utf8"));
    return this;
  }

  /** Appends text and a line feed. */
  line(text = ""): this {
    return this.text(`${text}\n`);
  }

  /** Appends bytes as they are. */
  raw(bytes: Key | Uint8Array): this {
    if (typeof bytes === "string") this.#out.latin1(bytes);
    else this.#out.append(bytes);
    return this;
  }

  /** One line of fields mode: `"Name" : value`. */
  field(name: string, value: string | number | bigint | boolean): this {
    return this.line(`"${name}" : ${value}`);
  }

  /** The same with the value quoted as Go's %q does. */
  quoted(name: string, value: Key | Uint8Array): this {
    return this.field(name, quoteBytes(value));
  }

  /** Where messages are encoded to. */
  get writer(): ByteWriter {
    return this.#out;
  }

  /** Everything so far; borrowed. */
  view(): Uint8Array {
    return this.#out.view();
  }
}
