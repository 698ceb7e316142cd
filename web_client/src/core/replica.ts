/**
 * Replica: one session in this tab, as the reading and writing side (`session`) sees it.
 *
 * The two documents, what to do with an edit, and what happened. Which tab holds the socket, where things are stored
 * and how they travel is behind it.
 */

import type * as Y from "yjs";
import type { JsonMap, Layer, PresenceEntry, Right } from "./messages.js";
import type { Status } from "./status.js";

/** An own edit. It shows at once. Both promises reject with `NotSynced` or `StoreError`; neither has to be awaited. */
export interface Edit {
  /** It is in this browser's store. */
  readonly saved: Promise<void>;
  /** It is on the server's disk. Without a network that takes until there is one. */
  readonly synced: Promise<void>;
}

/** An own edit that the server refused for good: kept aside, never dropped silently. */
export interface RefusedEdit {
  readonly layer: Layer;
  readonly update: Uint8Array;
  /** One of PROTOCOL 7. */
  readonly code: string;
  readonly reason: string;
  /** Unix ms, of this device's clock. */
  readonly at: number;
}

export type ReplicaChange =
  /** Top-level entries of the transcript, pairs of root and key, that are new or another. */
  | {
      readonly kind: "transcript";
      readonly entries: readonly (readonly [root: string, key: string])[];
      readonly own: boolean;
    }
  /** Roots of the state in which something changed. */
  | { readonly kind: "state"; readonly names: readonly string[]; readonly own: boolean }
  | { readonly kind: "presence" }
  | { readonly kind: "status" }
  /** `unsynced` is another. */
  | { readonly kind: "unsynced" }
  /** The copy is what the server has: `count` messages and commands came since this device was told last. */
  | { readonly kind: "caught-up"; readonly count: number }
  /**
   * The server refused an own edit; or it was refused here, too large or with no space left, and nobody waited for it:
   * then it is not among those that are kept, and `code` and `reason` are an error's.
   */
  | { readonly kind: "refused"; readonly edit: RefusedEdit }
  /** The documents were replaced by new ones (an edit was refused and left them): read everything again. */
  | { readonly kind: "reloaded" };

export interface Replica {
  readonly session: string;
  /** Who writes here, as the server last verified, such as `user:mona`; empty before the first contact. */
  readonly subject: string;
  /** Null until this device has been on the session once. */
  readonly rights: ReadonlySet<Right> | null;
  readonly status: Status;
  /** Of what one tab shows: as the server said last. */
  readonly presenceBytesMax: number;
  /** Own edits, of all tabs of this device, that are not on the server's disk. */
  readonly unsynced: number;
  /** Root names of the state to the number of their kind (PROTOCOL 5.3), as the server said. */
  readonly roots: ReadonlyMap<string, number>;

  /** A layer's document. Local transactions on the state's, such as an editor binding makes, are taken as own edits. */
  document(layer: Layer): Y.Doc;

  /**
   * Let `change` write, in one transaction, and take that as an own edit.
   *
   * Throws `LocalProtocolError` where the grant does not allow it or the edit is too large for one frame.
   */
  edit(layer: Layer, change: (document: Y.Doc) => void): Edit;

  /** Everybody who is here, this tab left out. */
  presence(): readonly PresenceEntry[];
  /**
   * What the others see of this tab; null for nothing. Sent again by itself after a reconnect.
   *
   * Several may have it open here: each says it as an `owner` of its own, and the others see it as one.
   */
  setPresence(state: JsonMap | null, owner: object): void;

  /** Call `listener` after each change, in order. Returns what ends that. */
  listen(listener: (change: ReplicaChange) => void): () => void;

  /** When all edits made so far are saved, or synced. */
  saved(): Promise<void>;
  synced(): Promise<void>;

  refused(): Promise<readonly RefusedEdit[]>;
  dropRefused(): Promise<void>;

  /** Let go of it. What is not synced stays in the store, and another tab or the next visit sends it. */
  close(): Promise<void>;
}
