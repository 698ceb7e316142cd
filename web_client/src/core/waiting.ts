/** Waiting: who wants to know that something changed, and waits for what it then is. Knows nothing of what changes. */

import { TimedOut } from "./errors.js";

/**
 * The listeners of one session.
 *
 * 1. They are called at most once a microtask, however much changed.
 * 2. One that throws stops neither the others nor the session; the page is told as of any error of its own.
 */
export class Listeners {
  #listeners = new Set<() => void>();
  #waiting = new Set<(error: Error) => void>();
  #closed: Error | null = null;
  #told = true;

  /** Call `listener` from now on. Returns what ends that. */
  add(listener: () => void): () => void {
    const entry = () => listener();
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  /** Something changed. */
  tell(): void {
    if (!this.#told) return; // Invariant 1.
    this.#told = false;
    queueMicrotask(() => {
      this.#told = true;
      for (const listener of this.#listeners) {
        try {
          listener();
        } catch (error) {
          (globalThis.reportError ?? console.error)(error); // Invariant 2.
        }
      }
    });
  }

  /** Resolves to the first that `look` finds: now, or when something changed. Rejects when this is closed. */
  until<T>(look: () => T | null): Promise<T> {
    const now = look();
    if (now !== null) return Promise.resolve(now);
    if (this.#closed !== null) return Promise.reject(this.#closed);
    return new Promise<T>((resolve, reject) => {
      const end = this.add(() => {
        const found = look();
        if (found === null) return;
        end();
        this.#waiting.delete(reject);
        resolve(found);
      });
      this.#waiting.add(reject);
    });
  }

  /** Whoever waits, and will wait, is told this. */
  close(error: Error): void {
    this.#closed = error;
    for (const reject of this.#waiting) reject(error);
    this.#listeners.clear();
    this.#waiting.clear();
  }
}

/** As `promise`, or a rejection with `TimedOut` after `timeoutMs`; what it waited for goes on. */
export async function within<T>(promise: Promise<T>, timeoutMs?: number): Promise<T> {
  if (timeoutMs === undefined) return promise;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new TimedOut(`not known within ${timeoutMs} ms: what was asked stands`)),
      timeoutMs,
    );
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
