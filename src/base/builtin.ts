/**
 * Modules of the runtime that few nodes need and that all would pay for: importing node:crypto,
 * node:zlib or node:tls takes 5 to 11 ms of CPU time and 4 to 8 MB each, mostly for the streams
 * that they bring along. They are loaded where they are first used.
 */

export function zlib(): typeof import("node:zlib") {
  return process.getBuiltinModule("node:zlib");
}

export function nodeCrypto(): typeof import("node:crypto") {
  return process.getBuiltinModule("node:crypto");
}

export function nodeTls(): typeof import("node:tls") {
  return process.getBuiltinModule("node:tls");
}

export function streams(): typeof import("node:stream") {
  return process.getBuiltinModule("node:stream");
}

export function net(): typeof import("node:net") {
  return process.getBuiltinModule("node:net");
}

export function inspector(): typeof import("node:inspector") {
  return process.getBuiltinModule("node:inspector");
}

export function dns(): typeof import("node:dns/promises") {
  return process.getBuiltinModule("node:dns/promises");
}

export function tty(): typeof import("node:tty") {
  return process.getBuiltinModule("node:tty");
}
