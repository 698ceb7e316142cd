/** Worker link: this tab's own worker, asked and answered. Knows nothing of what is asked. */

import { Unanswered } from "./requests.js";
import type { Holder, Reply, WorkerAsk } from "./requests.js";

/** A page's policy for trusted types is made once. */
let policy: { createScriptURL(url: string): unknown } | null | undefined;

/** A worker from a file of this origin, under strict content and trusted-types policies too. */
function startWorker(url: string | URL): Worker {
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  policy ??= types?.createPolicy("syncd-search", { createScriptURL: (given) => given }) ?? null;
  const trusted = policy === null ? url : (policy.createScriptURL(String(url)) as string);
  return new Worker(trusted, { type: "module", name: "syncd-search" });
}

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(url: string): string },
  ): { createScriptURL(url: string): unknown };
}

interface Asked {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Unanswered) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

/**
 * A worker of this tab.
 *
 * 1. Every question is answered, or rejected: when the worker fails, when it takes too long, when it is stopped.
 */
export class WorkerLink implements Holder {
  readonly #worker: Worker;
  readonly #asked = new Map<number, Asked>();
  #ids = 0;
  #isStopped = false;

  constructor(url: string | URL) {
    this.#worker = startWorker(url);
    this.#worker.onmessage = (event: MessageEvent<{ id: number; reply: Reply }>) => {
      const asked = this.#take(event.data.id);
      const reply = event.data.reply;
      if (asked === null) return;
      if (reply.ok) asked.resolve(reply.value);
      else asked.reject(new Unanswered(reply.code, reply.reason));
    };
    // Its file could not be loaded, or may not be run here.
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.stop(new Unanswered("failed", `the search worker failed: ${event.message || "it could not be loaded"}`));
    };
  }

  /** Rejects with `Unanswered`; with `gone` if there is no answer within `deadlineMs`. */
  ask(ask: WorkerAsk, deadlineMs = 30_000): Promise<unknown> {
    if (this.#isStopped) return Promise.reject(new Unanswered("gone", "the search worker is stopped"));
    return new Promise((resolve, reject) => {
      const id = ++this.#ids;
      const late = () => this.#take(id)?.reject(new Unanswered("gone", "the search worker did not answer in time"));
      this.#asked.set(id, { resolve, reject, timer: setTimeout(late, deadlineMs) });
      this.#worker.postMessage({ id, ask });
    });
  }

  /** End the worker, whatever it does. */
  stop(why = new Unanswered("gone", "the search worker is stopped")): void {
    this.#isStopped = true;
    this.#worker.terminate();
    for (const id of this.#asked.keys()) this.#take(id)?.reject(why); // Invariant 1.
  }

  #take(id: number): Asked | null {
    const asked = this.#asked.get(id) ?? null;
    if (asked !== null) clearTimeout(asked.timer);
    this.#asked.delete(id);
    return asked;
  }
}
