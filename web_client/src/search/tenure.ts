/**
 * Tenure: this tab's turns at holding the search copy. Knows who may, opens the copy and lets go of it in time.
 */

import { Unanswered } from "./requests.js";
import { WorkerLink } from "./worker_link.js";

/**
 * Who may hold the copy: calls `begin` whenever this tab may, with a signal that aborts when it no longer may. Returns
 * what takes this tab out of the running, and aborts the signal.
 */
export type Leadership = (begin: (term: AbortSignal) => void) => () => void;

/** The leadership of a tab that says whether it leads, as `Client` does. */
export function leadershipOf(tab: {
  readonly leads: boolean;
  subscribe(listener: () => void): () => void;
}): Leadership {
  return (begin) => {
    let term: AbortController | null = null;
    const look = () => {
      if (tab.leads === (term !== null)) return;
      term?.abort();
      term = tab.leads ? new AbortController() : null;
      if (term !== null) begin(term.signal);
    };
    const end = tab.subscribe(look);
    look();
    return () => {
      end();
      term?.abort();
    };
  };
}

/** A leadership of the search's own, by a lock; where there are no locks, every tab tries. */
export function ownLeadership(name: string): Leadership {
  return (begin) => {
    const life = new AbortController();
    if (navigator.locks === undefined) begin(life.signal);
    else {
      const hold = () => {
        begin(life.signal);
        return new Promise<void>((resolve) => life.signal.addEventListener("abort", () => resolve()));
      };
      navigator.locks.request(`syncd-search:${name}`, { signal: life.signal }, hold).catch(() => {
        // Given up before it was had; or locks are refused here, as in a page without an origin.
        if (!life.signal.aborted) begin(life.signal);
      });
    }
    return () => life.abort();
  };
}

export interface TenureHost {
  /** This tab holds the copy; `isFresh`: an empty one. */
  opened(isFresh: boolean): void;
  /** This tab does not hold it (any more); null where that is as it should be. */
  ended(error: Unanswered | null): void;
}

const RETRY_MS = 50;
const RETRY_MAX_MS = 5000;
/** A worker that does not let go in time is ended. */
const CLOSE_MS = 1000;

/**
 * 1. The files are let go of whenever a term ends, so that the next holder can open them.
 * 2. As long as another worker has the files, such as that of a frozen tab, this one tries again, less and less often.
 */
export class Tenure {
  #link: WorkerLink | null = null;
  #resign: (() => void) | null = null;
  #giveUp = new AbortController();
  #work: Promise<void> = Promise.resolve();

  constructor(
    private readonly name: string,
    private readonly workerUrl: string | URL,
    private readonly host: TenureHost,
  ) {}

  /** The worker that has the copy open, null if this tab has none. */
  get holder(): WorkerLink | null {
    return this.#link;
  }

  start(leadership: Leadership): void {
    this.#resign ??= leadership((term) => {
      this.#work = this.#work.then(() => this.#serve(term));
    });
  }

  /** Let go of the copy until the next term: it cannot be used. */
  giveUp(why: Unanswered): void {
    this.#link = null;
    this.#giveUp.abort(why);
  }

  /** Let go of the copy for good. */
  async stop(): Promise<void> {
    this.#resign?.();
    this.#giveUp.abort();
    await this.#work;
  }

  async #serve(term: AbortSignal): Promise<void> {
    if (term.aborted) return;
    this.#giveUp = new AbortController();
    const over = AbortSignal.any([term, this.#giveUp.signal]);
    const link = new WorkerLink(this.workerUrl);
    try {
      const isFresh = await this.#open(link, over);
      if (!over.aborted) {
        this.#link = link;
        this.host.opened(isFresh);
        await aborted(over);
      }
      const why: unknown = this.#giveUp.signal.reason;
      this.#end(why instanceof Unanswered ? why : null);
    } catch (error) {
      this.#end(error instanceof Unanswered ? error : new Unanswered("failed", String(error)));
    } finally {
      await link.ask({ kind: "close" }, CLOSE_MS).catch(() => {}); // Invariant 1; the next line does it anyway.
      link.stop();
    }
  }

  #end(error: Unanswered | null): void {
    this.#link = null;
    this.host.ended(error);
  }

  async #open(link: WorkerLink, over: AbortSignal): Promise<boolean> {
    for (let waitMs = RETRY_MS; ; waitMs = Math.min(2 * waitMs, RETRY_MAX_MS)) {
      try {
        return (await link.ask({ kind: "open", name: this.name })) === true;
      } catch (error) {
        if (over.aborted || !(error instanceof Unanswered) || error.code !== "busy") throw error;
        this.host.ended(error); // Invariant 2.
        await Promise.race([aborted(over), new Promise((resolve) => setTimeout(resolve, waitMs))]);
        if (over.aborted) throw error;
      }
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
