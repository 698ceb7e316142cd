/** Edits: own updates from when they are made until they are saved and synced. Knows nothing of stores or documents. */

import type { LocalProtocolError } from "./errors.js";
import type { Layer } from "./messages.js";
import type { Edit } from "./replica.js";

/** Own updates that one write into the store brings there, and who waits for them. */
export interface Pending {
  readonly layer: Layer;
  readonly update: Uint8Array;
  readonly saved: Deferred;
  readonly synced: Deferred;
}

export interface Deferred {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: Error): void;
}

/** An edit, from when it is made until it is known which update it came to. */
export class Adopt implements Edit {
  readonly saved: Promise<void>;
  readonly synced: Promise<void>;
  error: LocalProtocolError | null = null;
  readonly #saved = deferred();
  readonly #synced = deferred();

  constructor() {
    this.saved = this.#saved.promise;
    this.synced = this.#synced.promise;
  }

  adopt(own: Pending): void {
    own.saved.promise.then(this.#saved.resolve, this.#saved.reject);
    own.synced.promise.then(this.#synced.resolve, this.#synced.reject);
  }

  nothing(): void {
    this.#saved.resolve();
    this.#synced.resolve();
  }

  fail(error: LocalProtocolError): void {
    this.error = error;
    this.#saved.reject(error);
    this.#synced.reject(error);
  }
}

export function newPending(update: Uint8Array, layer: Layer): Pending {
  return { layer, update, saved: deferred(), synced: deferred() };
}

function deferred(): Deferred {
  let resolve!: () => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {}); // Nobody has to wait for it.
  return { promise, resolve, reject };
}
