/** The smallest protocols that exercise net/: an echo, with the marks and ends of a real one. */
import { OutputBuffer, type ProtocolConnection } from "../../src/wire/connection.ts";

/** Output above which the toy wants no more input. */
export const TOY_PAUSE_BYTES = 256 * 1024;

/** Sends back what it gets; "quit" anywhere in a chunk ends the connection politely. */
export class ToyConnection implements ProtocolConnection {
  readonly output = new OutputBuffer();
  onOutput: () => void = () => undefined;
  closing = false;
  closedCount = 0;
  writableCount = 0;
  tickCount = 0;
  readonly chunks: string[] = [];
  /** What to send on each input byte: 1 is an echo. */
  readonly factor: number;

  constructor(factor = 1) {
    this.factor = factor;
    this.output.onFill = () => this.onOutput();
  }

  get paused(): boolean {
    return this.output.pending > TOY_PAUSE_BYTES;
  }

  receive(bytes: Uint8Array): void {
    if (this.chunks.length < 100) this.chunks.push(Buffer.from(bytes).toString("latin1"));
    for (let i = 0; i < this.factor; i++) this.output.append(bytes, 0, bytes.length);
    if (Buffer.from(bytes).includes("quit")) this.closing = true;
  }

  say(text: string): void {
    const bytes = Buffer.from(text, "latin1");
    this.output.append(bytes, 0, bytes.length);
  }

  onWritable(): void {
    this.writableCount++;
  }

  tick(): void {
    this.tickCount++;
  }

  closed(): void {
    this.closedCount++;
  }

  shutdown(): void {
    this.say("bye");
    this.closing = true;
  }
}
