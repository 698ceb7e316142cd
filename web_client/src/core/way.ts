/**
 * Way: one session on the link, in the tab that leads: from the store to the server, and from the server to all tabs.
 *
 * Runs an uplink's turns: store first, then tell. Knows nothing of sockets, tokens or locks.
 */

import type { Copy } from "./copy.js";
import { fold, FOLD_ROWS } from "./fold.js";
import type { Limits } from "./limits.js";
import { backoffMs, isRefusal } from "./link.js";
import type { Timing } from "./timing.js";
import type { ClientMessage, Right, ServerMessage } from "./messages.js";
import { together } from "./together.js";
import { OFFLINE } from "./status.js";
import type { Status } from "./status.js";
import type { Row, Store, StoreWrite } from "./store.js";
import type { Place, Standing, TabMessage } from "./tabs.js";
import { Uplink } from "./uplink.js";
import type { UplinkEvent } from "./uplink.js";

export interface WayHost {
  readonly store: Store;
  readonly timing: Timing;
  readonly live: boolean;
  readonly peer: string;
  /** As the server said last. */
  readonly limits: Limits;
  send(messages: readonly ClientMessage[]): void;
  /** Tell the other tabs. */
  post(message: TabMessage): void;
  /** Nobody needs it any more. */
  done(way: Way): void;
}

const STORAGE_FULL = 4005;
const RESYNC = 4002;
const STORAGE_WAIT_MS = 1_000;

/**
 * The way of one session.
 *
 * 1. A turn's writes are one transaction; other tabs are told of it when that is complete, and never of anything else.
 * 2. What the server refused for good is not opened again before `retry`. Each other failure waits longer than the last.
 * 3. It stays as long as a tab has the session open, or own edits wait.
 */
export class Way {
  readonly session: string;
  readonly copy: Copy;
  readonly #host: WayHost;
  #uplink: Uplink;
  /** The tabs that have it open, the one looked at last at the end. */
  readonly #places = new Map<string, Place>();
  #presence: Standing["presence"] = [];
  #tabs: Standing["tabs"] = {};
  #rights: readonly Right[] | null = null;
  #status: Status = { ...OFFLINE, link: "reconnecting" };
  #refused = false;
  #attempts = 0;
  /** To which of the copy's documents the first update was applied that is not stored yet. */
  #applied: number | null = null;
  /** What all tabs were told last. */
  #told = "";
  #reopen: ReturnType<typeof setTimeout> | null = null;
  #turning = false;
  #stopped = false;
  /** Whether the uplink has what the store had; and own rows that came while it was read. */
  #ready = false;
  #reading = false;
  #early: Row[] = [];
  #rows = 0;

  constructor(copy: Copy, host: WayHost) {
    this.session = copy.session;
    this.copy = copy;
    this.#host = host;
    this.#uplink = this.#make();
  }

  /** Read what waits in the store, and open the session if there is a link. */
  async start(): Promise<void> {
    await this.#renew();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** Whether somebody needs it. Invariant 3. */
  get needed(): boolean {
    return this.#places.size > 0 || (this.copy.unsynced > 0 && !this.#refused);
  }

  get standing(): Standing {
    return {
      status: this.#status,
      rights: this.#rights,
      roots: this.copy.progress.roots,
      peer: this.#host.peer,
      presence: this.#presence,
      tabs: this.#tabs,
    };
  }

  /** A tab has it open, and shows this of itself. */
  place(tab: string, place: Place): void {
    const before = this.#places.get(tab);
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(place)) return;
    if (place.visible || before === undefined) this.#places.delete(tab); // Behind the others: looked at last.
    this.#places.set(tab, place);
    if (before === undefined) this.#told = ""; // It was told nothing yet.
    this.#show();
  }

  /** A tab has it open no longer. */
  leave(tab: string): void {
    if (!this.#places.delete(tab)) return;
    this.#show();
    this.#release();
  }

  /** Own edits of a tab, which are in the store and in the copy. */
  take(rows: readonly Row[]): void {
    if (!this.#ready) {
      this.#early.push(...rows);
      return;
    }
    for (const row of rows) this.#uplink.take(row);
    this.#rows += rows.length;
    this.#wake();
  }

  linkUp(): void {
    this.#show(); // The limits may be others.
    this.#connect();
  }

  linkDown(): void {
    this.#cancel();
    this.#uplink.disconnect();
    this.#presence = [];
    if (!this.#refused) this.#status = { ...OFFLINE, link: "reconnecting" };
    this.#wake();
    this.#tell();
  }

  receive(message: ServerMessage): void {
    if (!this.#ready) return;
    this.#applied ??= this.copy.generation;
    this.#uplink.receive(message);
    this.#wake();
  }

  tick(nowMs: number): void {
    this.#uplink.tick(nowMs);
    this.#wake();
  }

  /** Open it again, also if it was refused: something changed. */
  retry(): void {
    this.#refused = false;
    this.#attempts = 0;
    this.#connect();
  }

  /** Look into the store for what a tab wrote and did not tell. */
  async look(): Promise<void> {
    this.take(await this.copy.catchUp());
  }

  #make(): Uplink {
    const { limits, timing } = this.#host;
    return new Uplink(this.session, limits, this.copy.progress, this.copy, { ackTimeoutMs: timing.ack });
  }

  /** Have a new uplink of what the store holds. */
  async #renew(): Promise<void> {
    this.#reading = true;
    this.#ready = false;
    try {
      await this.copy.catchUp();
      const { record, own, count } = await this.#host.store.waiting(this.session);
      this.#rights = record?.rights ?? this.#rights;
      this.#rows = count;
      this.#uplink = this.#make();
      for (const row of [...own, ...this.#early.splice(0)]) this.#uplink.take(row);
      this.#ready = true;
    } catch (error) {
      // The store failed: what it has is safe, and it is tried again.
      this.#shut(0, error instanceof Error ? error.message : String(error));
      return;
    } finally {
      this.#reading = false;
    }
    // The one before may have it open on this link.
    this.#host.send([{ kind: "Leave", session: this.session }]);
    this.#show();
    this.#connect();
  }

  #connect(): void {
    this.#cancel();
    if (this.#stopped || this.#refused || !this.#host.live) return;
    if (!this.#ready) {
      if (!this.#reading) void this.#renew();
      return;
    }
    if (this.#uplink.state !== "closed") return;
    this.#uplink.connect([]);
    this.#wake();
  }

  // Turns

  #wake(): void {
    if (!this.#turning && !this.#stopped) void this.#turns();
  }

  async #turns(): Promise<void> {
    this.#turning = true;
    try {
      while (!this.#stopped) {
        const uplink = this.#uplink;
        const { writes, events } = uplink.ready();
        if (writes.length === 0 && events.length === 0) break;
        await this.#turn(uplink, writes, events);
      }
    } catch (error) {
      this.#ready = false;
      this.#uplink.disconnect();
      this.#shut(RESYNC, error instanceof Error ? error.message : String(error));
    } finally {
      this.#turning = false;
    }
    if (!this.#stopped) this.#host.send(this.#uplink.outgoing());
  }

  async #turn(uplink: Uplink, writes: readonly StoreWrite[], events: readonly UplinkEvent[]): Promise<void> {
    const all = [...writes];
    for (const event of events) {
      if (event.kind === "rights") all.push({ kind: "rights", rights: [...event.rights] as Right[] });
    }
    const generation = this.#applied ?? this.copy.generation;
    this.#applied = null;
    const rows = all.length > 0 ? await this.#host.store.commit(this.session, all) : [];
    // The copy was read anew meanwhile: what the uplink had applied before may not be in it.
    if (generation === this.copy.generation) this.copy.knows(rows);
    else this.copy.absorb(rows);
    for (const write of writes) if (write.kind === "progress") this.copy.moved(write.progress);
    if (rows.length > 0) this.#host.post({ kind: "rows", session: this.session, rows }); // Invariant 1.
    this.#rows += rows.length;
    if (uplink === this.#uplink) await this.#deliver(events);
    if (this.#rows > FOLD_ROWS) this.#fold();
  }

  async #deliver(events: readonly UplinkEvent[]): Promise<void> {
    const { session } = this;
    let reload = false;
    for (const event of events) {
      switch (event.kind) {
        case "synced":
          this.copy.syncedRows(event.rows);
          this.#host.post({ kind: "synced", session, rows: event.rows });
          break;
        case "refused": {
          const { rows, code, reason } = event;
          this.#host.post({ kind: "refused", session, rows, code, reason });
          await this.copy.refusedRows(rows, code, reason);
          break;
        }
        case "caught-up":
          this.#attempts = 0;
          this.copy.caughtUp(event.count);
          this.#host.post({ kind: "caught-up", session, count: event.count });
          break;
        case "presence":
          this.#presence = [...this.#uplink.presence.values()];
          break;
        case "rights":
          this.#rights = [...event.rights] as Right[];
          break;
        case "shut":
          if (event.code === RESYNC) this.#ready = false; // The copy may be what is out of step: read it anew.
          this.#shut(event.code, event.reason);
          break;
        case "reload":
          reload = true;
          break;
        case "storage":
          break;
      }
    }
    if (this.#uplink.state === "open") {
      this.#status = { ...OFFLINE, link: "live", storageFull: this.#uplink.storageFull };
    }
    this.#tell();
    if (reload) {
      this.#host.post({ kind: "reload", session });
      await this.copy.reload();
    }
    if (events.some(({ kind }) => kind === "synced" || kind === "refused")) this.#release();
  }

  /** The session was closed, by either side: wait and open it again, unless it was refused. Invariant 2. */
  #shut(code: number, reason: string): void {
    this.#presence = [];
    this.#refused = isRefusal(code);
    const storageFull = code === STORAGE_FULL || this.#uplink.storageFull;
    this.#attempts += 1;
    const link = this.#refused ? "refused" : "reconnecting";
    this.#status = { link, code, reason, storageFull, attempts: this.#attempts };
    this.#cancel();
    if (!this.#refused && !this.#stopped) {
      const wait = backoffMs(this.#attempts - 1, this.#host.timing) + (code === STORAGE_FULL ? STORAGE_WAIT_MS : 0);
      this.#reopen = setTimeout(() => this.#connect(), wait);
    }
    this.#tell();
  }

  #cancel(): void {
    if (this.#reopen !== null) clearTimeout(this.#reopen);
    this.#reopen = null;
  }

  #show(): void {
    const shown = [...this.#places].flatMap(([tab, { presence }]) => (presence === null ? [] : [[tab, presence]]));
    this.#tabs = Object.fromEntries(shown) as Standing["tabs"];
    this.#uplink.setPresence(together(this.#places, this.#host.limits.presenceBytesMax));
    this.#wake();
    this.#tell();
  }

  #tell(): void {
    if (this.#stopped) return;
    const { standing } = this;
    const told = JSON.stringify(standing);
    if (told === this.#told) return;
    this.#told = told;
    this.copy.stands(standing);
    this.#host.post({ kind: "standing", session: this.session, standing });
  }

  #release(): void {
    if (!this.#stopped && !this.needed) this.#host.done(this);
  }

  #fold(): void {
    this.#rows = 0;
    fold(this.#host.store, this.session).catch(() => {
      // The rows are as they were; the next time it is tried again.
    });
  }
}
