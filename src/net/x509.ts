/**
 * The library that reads and makes certificates and lists of revoked ones, loaded where it is first
 * used: it takes tens of milliseconds and 10 MB, which a node that needs neither does not pay. It
 * is put together with decorators, whose metadata the runtime lacks, so the polyfill comes first.
 */
export async function x509(): Promise<typeof import("@peculiar/x509")> {
  await import("reflect-metadata");
  return import("@peculiar/x509");
}
