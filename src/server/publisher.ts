/**
 * Tells the cluster what this member is called and where clients reach it, until its record says
 * so. Until then others count the member as not started.
 */
import { ByteWriter } from "../base/bytes.ts";
import { AetherError } from "../base/errors.ts";
import type { Log } from "../base/ports.ts";
import type { Group } from "../node/group.ts";
import { Member } from "../proto/gen/etcdserverpb.ts";
import { CommandKind } from "../state/command.ts";

export interface PublisherParts {
  readonly group: Group;
  readonly memberId: bigint;
  readonly name: string;
  /** Known when the addresses are open. */
  readonly clientUrls: () => readonly string[];
  readonly log: Log;
}

export class Publisher {
  readonly #parts: PublisherParts;
  readonly #published = Promise.withResolvers<void>();
  #started = false;
  #underWay = false;
  #isPublished = false;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
  }

  /** Begins, once the addresses are known; resolves when the cluster knows them. */
  publish(): Promise<void> {
    this.#started = true;
    this.tick();
    return this.#published.promise;
  }

  #onPublished(): void {
    if (this.#isPublished) return;
    this.#isPublished = true;
    const { name, memberId, clientUrls, log } = this.#parts;
    const urls = clientUrls();
    log.info("published local member to cluster", { name, id: memberId.toString(16), urls });
    this.#published.resolve();
  }

  /** Tries again what was not heard. */
  tick(): void {
    if (!this.#started || this.#underWay) return;
    const { group, memberId: ID, name } = this.#parts;
    const clientURLs = [...this.#parts.clientUrls()];
    const record = group.machine.member(ID);
    if (record === undefined) return; // the members have not arrived here yet
    if (record.name === name && record.clientURLs.join() === clientURLs.join()) {
      this.#onPublished();
      return;
    }
    const out = new ByteWriter(256);
    Member.encode(Member.create({ ID, name, clientURLs }), out);
    this.#underWay = true;
    group.propose(CommandKind.memberPublish, out.bytes, 0, out.length, (outcome) => {
      this.#underWay = false;
      if (!(outcome instanceof AetherError)) this.#onPublished();
      else this.#parts.log.debug("not published yet", { reason: outcome.message });
    });
  }
}
