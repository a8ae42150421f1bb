/** All snapshots of one member: at most one to each peer, and one sink a group. */
import { AetherError } from "../../base/errors.ts";
import type { ServerCall } from "../../wire/grpc/server-call.ts";
import { type Admission, type Admitted, notAMember } from "./admission.ts";
import { SnapshotReceiver, type SnapshotReceiverOptions } from "./snapshot-receiver.ts";
import {
  SnapshotSender,
  type SnapshotSenderOptions,
  type SnapshotTransfer,
} from "./snapshot-sender.ts";

export class Snapshots {
  readonly #transfers = new Map<bigint, SnapshotSender>();
  readonly #receivers = new Set<SnapshotReceiver>();
  /** The last that was offered for each group: the next one waits for its sink. */
  readonly #latest = new Map<number, SnapshotReceiver>();
  /** The hash of the last copy that was installed for each group. */
  readonly #installed = new Map<number, Uint8Array>();

  /** Begins a transfer. Throws AetherError "too_many_requests" while one goes to the same peer. */
  send(options: SnapshotSenderOptions): SnapshotTransfer {
    const { to } = options.message;
    if (this.#transfers.has(to)) {
      throw new AetherError("too_many_requests", "a snapshot to this peer is on its way");
    }
    const transfer = new SnapshotSender(options);
    this.#transfers.set(to, transfer);
    const forget = (): void => {
      this.#transfers.delete(to);
    };
    transfer.done.then(forget, forget);
    return transfer;
  }

  /** Takes up an admitted stream. */
  receive(
    call: ServerCall,
    admitted: Admitted,
    options: Pick<SnapshotReceiverOptions, "store" | "log" | "scratch" | "onRefused">,
  ): SnapshotReceiver {
    const receiver = new SnapshotReceiver(call, admitted, {
      ...options,
      onOffer: (offered, group) => {
        const older = this.#latest.get(group);
        this.#latest.set(group, offered);
        older?.giveWay();
        return older;
      },
      isInstalled: ({ group, sha256 }) => {
        const last = this.#installed.get(group);
        return last !== undefined && Buffer.compare(last, sha256) === 0;
      },
      onInstalled: ({ group, sha256 }) => {
        this.#installed.set(group, sha256);
      },
      onEnd: (ended) => this.#receivers.delete(ended),
    });
    this.#receivers.add(receiver);
    return receiver;
  }

  /** Ends what goes to and comes from members that are not known any more. */
  keep(admission: Admission): void {
    for (const [id, transfer] of this.#transfers) if (!admission.knows(id)) transfer.cancel();
    for (const receiver of [...this.#receivers]) {
      const { fromMemberId } = receiver.hello;
      if (admission.knows(fromMemberId)) continue;
      receiver.refuse(notAMember(fromMemberId, admission, receiver.seals));
    }
  }

  /** Ends all; resolves when every sink is closed or was handed over and taken. */
  async stop(): Promise<void> {
    for (const transfer of this.#transfers.values()) transfer.cancel();
    for (const receiver of [...this.#receivers]) receiver.stop();
    for (const receiver of this.#latest.values()) await receiver.closed;
  }
}
