/**
 * Watch: when a tab has reason to look around: its page was shown, woken or put aside, a network came or went, or time
 * passed. Knows nothing of what there is to look at.
 */

export interface WatchHost {
  /** Own edits wait for the server. */
  readonly waits: boolean;
  /** The page may have slept, or the network is another. */
  awake(): void;
  /** The page is looked at no longer. */
  hidden(): void;
  /** The browser keeps the page for the way back, and may never run it again. */
  aside(): void;
  /** It runs it again. */
  back(): void;
  /** Some time passed. */
  passed(): void;
}

/** The leader is asked for a sign of life while own edits wait, and else now and then. */
const WAITS_MS = 2_000;
const IDLE_MS = 4_000;

/** Whether somebody may be looking at this page. */
export function isShown(): boolean {
  return typeof document === "undefined" || !document.hidden;
}

export class Watch {
  readonly #host: WatchHost;
  readonly #life = new AbortController();
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** That it is about edits that wait. */
  #soon = false;

  constructor(host: WatchHost) {
    this.#host = host;
  }

  start(): void {
    this.later();
    if (typeof document === "undefined") return;
    const { signal } = this.#life;
    const host = this.#host;
    const awake = (): void => host.awake();
    document.addEventListener("visibilitychange", () => (document.hidden ? host.hidden() : awake()), { signal });
    document.addEventListener("resume", awake, { signal });
    addEventListener("online", awake, { signal });
    addEventListener("offline", awake, { signal });
    window.addEventListener("pagehide", (event) => event.persisted && host.aside(), { signal });
    window.addEventListener("pageshow", (event) => event.persisted && host.back(), { signal });
  }

  stop(): void {
    this.#life.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** Have `passed` called in a while: sooner where edits wait by now. */
  later(): void {
    if (this.#life.signal.aborted) return;
    const { waits } = this.#host;
    if (this.#timer !== null) {
      if (this.#soon || !waits) return;
      clearTimeout(this.#timer);
    }
    this.#soon = waits;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#host.passed();
        this.later();
      },
      waits ? WAITS_MS : IDLE_MS,
    );
  }
}
