import { connect, type Socket } from "node:net";

/** A connection to this machine from one of its addresses; resolves when it is open or refused. */
export function connectFrom(localAddress: string, port: number): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, localAddress });
    socket.on("error", () => resolve(socket)); // a refusal is a reset; "close" follows
    socket.once("connect", () => resolve(socket));
  });
}
