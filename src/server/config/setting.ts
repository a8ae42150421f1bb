/**
 * What a row of the tables of settings is made of: Aether's own (settings.ts, tls-settings.ts) and
 * etcd's (etcd/…-settings.ts).
 */

/** What a setting may be, whatever it is called. */
export interface Meaning {
  /**
   * `urls` and `members` are texts in etcd's notation (addresses.ts), `list` one with commas,
   * `origins` such a list of http://host:port, or `*`;
   * `duration` is Go's notation (durations.ts), its value in milliseconds.
   */
  readonly kind:
    | ("integer" | "boolean" | "string" | "address" | "choice" | "duration")
    | ("urls" | "members" | "list" | "origins");
  readonly initial: number | boolean | string;
  /** Inclusive bounds of an integer. */
  readonly min?: number;
  readonly max?: number;
  /** The words a choice may be. */
  readonly choices?: readonly string[];
  readonly help: string;
  /** A text that says something by being empty. */
  readonly mayBeEmpty?: true;
  /** Other values than the initial one are refused, with this reason. */
  readonly refused?: string;
  /**
   * Never shown, and without a flag, since everybody on a machine can read its command lines.
   */
  readonly secret?: true;
}

/** A file may give it as an array. */
export function isList({ kind }: Meaning): boolean {
  return kind === "list" || kind === "origins";
}

export interface Setting extends Meaning {
  /** Dotted path in aether.toml. */
  readonly path: string;
  /** etcd's flag for the same thing with the same values. */
  readonly etcd?: string;
  /** Its other flags in etcd. */
  readonly twins?: readonly string[];
  /** Its place in etcd's YAML file, unless that is the flag's name; "": it has none. */
  readonly yaml?: string;
  /** It is a key of etcd's YAML file, and no flag of etcd's. */
  readonly yamlOnly?: true;
}

export interface EtcdSetting extends Meaning {
  /** etcd's flag. */
  readonly etcd: string;
  /** Other flags of etcd for it: most were called experimental- before 3.7. */
  readonly twins?: readonly string[];
  /** Its place in etcd's YAML file, unless that is the flag's name; "": it has none. */
  readonly yaml?: string;
  /** It is a key of the YAML file only. */
  readonly yamlOnly?: true;
  /** `--flag` alone is a flag too. */
  readonly valueOptional?: true;
  /** Paths of Aether's settings that speak of the same thing: only one of the two may. */
  readonly instead?: readonly string[];
  /** Why it changes nothing here: it is taken, and whoever sets it is told once. */
  readonly inert?: string;
}
