/**
 * Tells systemd that a service of Type=notify is up: one datagram to the socket of $NOTIFY_SOCKET
 * (sd_notify(3)). Bun has no datagram sockets of AF_UNIX, so libc sends it; the call takes
 * microseconds and happens once. systemd-notify(1) was rejected: it is another process, whose word
 * counts only with NotifyAccess=all, and it is not everywhere.
 */
import { dlopen } from "bun:ffi";
import { arch } from "node:os";

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const MSG_NOSIGNAL = 0x4000;
/** sizeof(sun_path), with the zero at its end. */
const PATH_BYTES_MAX = 108;

const MUSL_ARCH: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

/** glibc's name, then musl's. */
const LIBRARIES = ["libc.so.6", `libc.musl-${MUSL_ARCH[arch()] ?? arch()}.so.1`];

/**
 * Sends `state`, for example `READY=1`, to the socket at `path` ("@name": an abstract one). Returns
 * why it did not, or undefined.
 */
export function notifySystemd(path: string, state: string): string | undefined {
  const address = socketAddress(path);
  if (address === undefined) return `not the path of a socket: ${path}`;
  const libc = openLibc();
  if (libc === undefined) return `none of ${LIBRARIES.join(", ")} could be loaded`;
  const { socket, sendto, close } = libc.symbols;
  const descriptor = socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (descriptor < 0) return "no socket could be made";
  const message = Buffer.from(state);
  const { length } = message;
  const sent = sendto(descriptor, message, length, MSG_NOSIGNAL, address, address.length);
  close(descriptor);
  return Number(sent) === length ? undefined : `${path} did not take it`;
}

/** struct sockaddr_un, as long as the path needs it. */
function socketAddress(path: string): Uint8Array | undefined {
  const name = Buffer.from(path);
  if (!/^[@/]/.test(path) || name.length >= PATH_BYTES_MAX) return undefined;
  const isAbstract = path.startsWith("@");
  const address = Buffer.alloc(2 + name.length + (isAbstract ? 0 : 1));
  if (new Uint8Array(new Uint16Array([1]).buffer)[0] === 1) address.writeUInt16LE(AF_UNIX);
  else address.writeUInt16BE(AF_UNIX);
  name.copy(address, 2);
  if (isAbstract) address[2] = 0;
  return address;
}

function openLibc() {
  for (const library of LIBRARIES) {
    try {
      return dlopen(library, {
        socket: { args: ["int", "int", "int"], returns: "int" },
        sendto: { args: ["int", "ptr", "usize", "int", "ptr", "u32"], returns: "i64" },
        close: { args: ["int"], returns: "int" },
      });
    } catch {
      // the other libc's name
    }
  }
  return undefined;
}
