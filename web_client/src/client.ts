/** Client: the core's client, whose sessions are conversations. Knows nothing of stores, tabs or links. */

import type { Attention } from "./attention.js";
import { Client as CoreClient } from "./core/client.js";
import { LocalProtocolError } from "./core/errors.js";
import type { Index, IndexChanged, Watch } from "./core/messages.js";
import { Session } from "./session.js";
import type { ListOptions, SessionList } from "./session_list.js";

const NO_MORE: Watch = { kind: "Watch", after: "", limit: 0, archived: false };

/** One tab's client: as the core's, and it has one's list of sessions. */
export class Client extends CoreClient {
  #attention: Attention | null = null;
  readonly #lists = new Set<SessionList>();

  /**
   * Open a session from this device's store; it goes live by itself. Several may be open of one, each with its own
   * `close`. Throws as `replica`.
   */
  override async open(session: string): Promise<Session> {
    const opened = await this.opened(session, Session);
    void this.#follow(opened);
    return opened;
  }

  async #follow(opened: Session): Promise<void> {
    try {
      const { Attending, Attention } = await import("./attending.js");
      this.#attention ??= new Attention();
      opened.follow(Attending, this.#attention);
    } catch (error) {
      console.warn("who is there is not known: a part of this page did not load:", error);
    }
  }

  override close(): Promise<void> {
    this.#attention?.close();
    for (const list of this.#lists) list.close();
    return super.close();
  }

  /**
   * One's list of sessions, from this device and then as the server has it. `close` it when it is not shown any more.
   *
   * Its code is loaded when it is first asked for. Rejects if that cannot be had.
   */
  async index(options?: ListOptions): Promise<SessionList> {
    const { SessionList: Made } = await import("./session_list.js");
    const list = new Made(this, options);
    this.#lists.add(list);
    await list.load();
    return list;
  }

  /** See `session_list.ListHost`. */
  unlist(list: SessionList): void {
    if (this.#lists.delete(list) && this.#lists.size === 0) this.ask(NO_MORE);
  }

  protected override toldOf(asked: Watch | null, told: Index | IndexChanged): void {
    for (const list of this.#lists) list.told(asked, told);
  }

  /** Put a session away in one's own list, or back. Rejects without a network, or if the token does not name it. */
  async archive(session: string, archived = true): Promise<void> {
    const token = typeof this.token === "function" ? await this.token() : (this.token ?? "");
    const headers = { ...(token !== "" && { Authorization: `Bearer ${token}` }), "Content-Type": "application/json" };
    const asked = { method: "PUT", headers, body: JSON.stringify({ archived }) };
    const answer = await fetch(`${this.url}/v1/sessions/${encodeURIComponent(session)}/standing`, asked);
    if (!answer.ok)
      throw new LocalProtocolError(`the server did not put ${session} away: it answered ${answer.status}`);
  }
}
