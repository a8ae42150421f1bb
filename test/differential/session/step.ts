/** What a scripted session is made of: command lines, and what is done with those that go on. */

export interface Step {
  /**
   * Placeholders: `{endpoint}` the server, `{other}` a second, empty one, `{lease1}` the first
   * lease that was granted, `{member}` its member, `{added}` the member added last, `{dir}` an
   * empty directory.
   */
  readonly words: readonly string[];
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Left running under this name once it has printed `lines` lines; its end is a step too. */
  readonly start?: string;
  /** Ends what runs under this name by SIGINT, once it has printed `lines` lines. */
  readonly stop?: string;
  /** Waits until what runs under this name has printed `lines` lines. */
  readonly wait?: string;
  /** Waits until what runs under this name has ended by itself. */
  readonly join?: string;
  /** Run again until it prints that many lines: what it looks at happens beside it. */
  readonly untilLines?: number;
  /** Run again until it prints this. */
  readonly untilText?: string;
  readonly lines?: number;
  /** Clients of these releases only: others have no such command. */
  readonly since?: "3.7";
}

export interface Said {
  readonly stdout: string;
  readonly stderr: string;
  readonly status: number;
}

/** A row of steps against one server, independent of all other parts. */
export interface Part {
  readonly name: string;
  /** Our client is to be a process of its own: signals or programs matter. */
  readonly executable?: true;
  readonly steps: readonly Step[];
}

/** Words as in a shell, with quotes but without escapes. */
export function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, bare]) => double ?? single ?? bare ?? "",
  );
}

export function sh(line: string, more: Omit<Step, "words"> = {}): Step {
  return { words: words(line), ...more };
}

/** What a step is called in reports and in the table of differences. */
export function nameOf(step: Step): string {
  if (step.stop !== undefined) return `(stop ${step.stop})`;
  if (step.wait !== undefined) return `(wait for ${step.wait})`;
  if (step.join !== undefined) return `(join ${step.join})`;
  const shown = step.words.map((word) => (/^[\w./:{}=,@-]+$/.test(word) ? word : `'${word}'`));
  return [...Object.entries(step.env ?? {}).map(([k, v]) => `${k}=${v}`), ...shown].join(" ");
}
