/** What a simulation exists to find: a promise that was broken. */
export class Failure extends Error {
  override readonly name = "Failure";
}

export function fail(what: string): never {
  throw new Failure(what);
}
