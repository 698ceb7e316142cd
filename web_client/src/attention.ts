/**
 * Attention: what the person at this page does with it, by visibility, focus and input.
 *
 * One for all sessions of a tab. Knows nothing of sessions or of who is told.
 */

import { isShown } from "./core/watch.js";

/** At it; has it in sight; looks elsewhere. */
export type Activity = "active" | "idle" | "hidden";

/** Who did nothing for so long only looks on. */
const IDLE_MS = 60_000;
const INPUTS = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "focus"];

/**
 * 1. Input costs the taking of a time; what is made of it is looked at once a minute, and when the page is shown,
 *    hidden, focused or left.
 */
export class Attention {
  readonly #listeners = new Set<() => void>();
  readonly #life = new AbortController();
  #inputAt = -IDLE_MS;
  #now: Activity = "hidden";
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** Where there is no page, as in a worker or a test, nobody looks: nothing is said. */
  constructor() {
    if (typeof document === "undefined") return;
    const options = { signal: this.#life.signal, passive: true, capture: true };
    for (const input of INPUTS) addEventListener(input, () => this.#input(), options);
    addEventListener("blur", () => this.#look(), options);
    document.addEventListener("visibilitychange", () => this.#look(), options);
    this.#inputAt = performance.now(); // Whoever opens a page is at it.
    this.#look();
  }

  get now(): Activity {
    return this.#now;
  }

  /** Call `listener` when it is another. Returns what ends that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#life.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #input(): void {
    this.#inputAt = performance.now(); // Invariant 1.
    if (this.#now !== "active") this.#look();
  }

  #look(): void {
    const left = this.#inputAt + IDLE_MS - performance.now();
    const at = left > 0 && document.hasFocus();
    const now: Activity = !isShown() ? "hidden" : at ? "active" : "idle";
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = now === "active" ? setTimeout(() => this.#look(), left + 1) : null;
    if (now === this.#now) return;
    this.#now = now;
    for (const listener of this.#listeners) listener();
  }
}
