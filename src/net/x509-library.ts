/**
 * The library that reads and makes X.509: loaded where it is first used, since it takes 70 ms of CPU
 * time that nobody shall pay who needs neither a list of revoked certificates nor one of his own.
 */

export async function x509Library(): Promise<typeof import("@peculiar/x509")> {
  await import("reflect-metadata"); // what it is put together with asks for it, first
  return await import("@peculiar/x509");
}
