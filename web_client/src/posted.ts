/** Posted: what a message may be posted with, and an own message that was. Knows nothing of how it is stored or sent. */

import { LocalProtocolError } from "./core/errors.js";
import type { JsonMap } from "./core/messages.js";
import type { Edit } from "./core/replica.js";
import type { Part, Role } from "./schema.js";
import type { MessageView } from "./transcript.js";

/** What a message may have beside its text. */
export interface PostOptions {
  /** Subjects addressed; agents among them get it as work. */
  readonly to?: readonly string[];
  readonly role?: Role;
  /** Behind the text: files, sources, data. */
  readonly parts?: readonly Part[];
  /** The message it follows. */
  readonly parent?: string | null;
  /** The message it is an alternative to. */
  readonly forkOf?: string | null;
  readonly metadata?: JsonMap;
  /** The work that it makes is ended as failed, `expired`, if it is not over in time. */
  readonly expiresInMs?: number;
}

/** An own message that was posted: saved already. */
export class Message {
  constructor(
    private readonly session: { message(id: string): MessageView | null },
    readonly id: string,
    private readonly edit: Edit,
  ) {}

  /** Resolves when it is on the server's disk. Rejects with `NotSynced`: the server refused it for good. */
  synced(): Promise<void> {
    return this.edit.synced;
  }

  /** The message as it stands now. Throws `LocalProtocolError`: the server refused it, see `Session.refused`. */
  get view(): MessageView {
    const found = this.session.message(this.id);
    if (found === null) throw new LocalProtocolError(`message ${this.id} was refused: see session.refused()`, "gone");
    return found;
  }
}
