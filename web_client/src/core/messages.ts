/**
 * Messages: the words that travel between a client and the server. PROTOCOL 3.
 *
 * Plain data, one type for each frame, named as the protocol names it. Knows nothing of bytes (see `codec`), sockets or
 * documents.
 */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonMap = { readonly [key: string]: Json };

/** The two documents of a session. */
export type Layer = "transcript" | "state";
export const LAYERS: readonly Layer[] = ["transcript", "state"];

/** What a grant may allow on a session; reading is implied. */
export type Right = "transcript" | "state" | "presence" | "command" | "admin";

/** Whether a grant allows to write a layer, as far as that is known. */
export function mayWrite(layer: Layer, rights: ReadonlySet<Right> | null): boolean {
  return rights === null || rights.has(layer) || (layer === "transcript" && rights.has("command"));
}

/** One peer that is on a session. All but `state` is stamped by the server; `state` null means that it is gone. */
export interface PresenceEntry {
  readonly peer: string;
  readonly subject: string;
  readonly name: string;
  readonly kind: string;
  readonly device: string;
  readonly state: Json;
}

/** Something for one or both layers; one that is left out has nothing. */
export type ByLayer<T> = { readonly [L in Layer]?: T };

// What a client sends.

export interface Hello {
  readonly kind: "Hello";
  readonly versions: readonly number[];
  /** Empty if the upgrade request carried it. */
  readonly token: string;
  readonly device: string;
  readonly agent: string;
}

export interface Open {
  readonly kind: "Open";
  readonly session: string;
  /** State vectors of the local copy. */
  readonly vectors: ByLayer<Uint8Array>;
  readonly clientIds: readonly number[];
  /** Empty for a copy that was never told one. */
  readonly incarnation: string;
  readonly version: number;
  /** The highest `seq` the copy was told. */
  readonly seen: number;
}

export interface Push {
  readonly kind: "Push";
  readonly session: string;
  readonly layer: Layer;
  /** Counted from 1 since the session was opened, both layers together. */
  readonly number: number;
  readonly update: Uint8Array;
}

export interface SetPresence {
  readonly kind: "SetPresence";
  readonly session: string;
  readonly state: Json;
}

export interface Refresh {
  readonly kind: "Refresh";
  readonly token: string;
}

export interface Leave {
  readonly kind: "Leave";
  readonly session: string;
}

export interface Ping {
  readonly kind: "Ping";
  readonly nonce: number;
}

export interface Declare {
  readonly kind: "Declare";
  readonly session: string;
  readonly clientIds: readonly number[];
}

export interface Serve {
  readonly kind: "Serve";
  readonly worker: string;
  readonly slots: number;
  readonly perSession: number;
}

export interface Claim {
  readonly kind: "Claim";
  readonly session: string;
  readonly run: string;
  readonly policy: "wait" | "retry" | "fail";
  readonly attemptsMax: number;
}

/** Ask for a page of one's list of sessions, and to be told of changes from then on; with `limit` 0 no more. */
export interface Watch {
  readonly kind: "Watch";
  /** The `next` of the page before, empty for the first. */
  readonly after: string;
  readonly limit: number;
  /** Those that were put away, instead of the others. */
  readonly archived: boolean;
}

// What a server sends.

export interface Welcome {
  readonly kind: "Welcome";
  readonly version: number;
  /** This link's life, the same in all its sessions. */
  readonly peer: string;
  readonly subject: string;
  readonly server: string;
  readonly heartbeatS: number;
  readonly frameBytesMax: number;
  readonly presenceBytesMax: number;
  /** Unix s, 0 for never. */
  readonly expiresAt: number;
  /** The server's clock, Unix s. */
  readonly now: number;
}

export interface Opened {
  readonly kind: "Opened";
  readonly session: string;
  readonly incarnation: string;
  readonly version: number;
  readonly seq: number;
  /** Messages and commands whose `seq` is above the open's `seen`. */
  readonly caughtUp: number;
  readonly rights: readonly string[];
  readonly updates: ByLayer<Uint8Array>;
  readonly vectors: ByLayer<Uint8Array>;
  /** Root names of the state to the number of their kind, PROTOCOL 5.3. */
  readonly roots: { readonly [name: string]: string };
  readonly presence: readonly PresenceEntry[];
  readonly storageFull: boolean;
}

export interface Ack {
  readonly kind: "Ack";
  readonly session: string;
  readonly number: number;
}

export interface Reject {
  readonly kind: "Reject";
  readonly session: string;
  readonly number: number;
  /** One of PROTOCOL 7. */
  readonly code: string;
  readonly reason: string;
}

export interface Update {
  readonly kind: "Update";
  readonly session: string;
  readonly layer: Layer;
  readonly update: Uint8Array;
}

export interface PresenceChanged {
  readonly kind: "PresenceChanged";
  readonly session: string;
  readonly entries: readonly PresenceEntry[];
}

export interface Closed {
  readonly kind: "Closed";
  readonly session: string;
  /** One of PROTOCOL 6. */
  readonly code: number;
  readonly reason: string;
}

export interface Bye {
  readonly kind: "Bye";
  readonly code: number;
  readonly reason: string;
  readonly retryAfterS: number;
}

export interface Pong {
  readonly kind: "Pong";
  readonly nonce: number;
}

export interface Refreshed {
  readonly kind: "Refreshed";
  readonly expiresAt: number;
}

export interface Storage {
  readonly kind: "Storage";
  readonly full: boolean;
}

export interface Work {
  readonly kind: "Work";
  readonly session: string;
  readonly run: string;
  /** What it is to answer; empty for a run without one. */
  readonly message: string;
  readonly attempt: number;
}

/** One session in somebody's list. */
export interface IndexRow {
  readonly session: string;
  readonly title: string;
  readonly tags: readonly string[];
  readonly archived: boolean;
  /** When something last happened in it, Unix ms. */
  readonly at: number;
  readonly seq: number;
  /** How its last message begins. */
  readonly excerpt: string;
  /** Messages of others that this person has not read, up to 999. */
  readonly unread: number;
  /** Why it waits for this person: `approval`, `handover`. */
  readonly needs: readonly string[];
  /** Agents whose runs are not over, to how these stand. */
  readonly running: { readonly [agent: string]: string };
  /** Who is not offline, to the status. */
  readonly here: { readonly [subject: string]: string };
  readonly responsible: string;
}

export interface Index {
  readonly kind: "Index";
  readonly rows: readonly IndexRow[];
  /** What to ask for the next page with. */
  readonly next: string;
  /** There is nothing behind these. */
  readonly whole: boolean;
}

export interface IndexChanged {
  readonly kind: "IndexChanged";
  readonly rows: readonly IndexRow[];
  /** Sessions that are no more. */
  readonly gone: readonly string[];
}

/** What is told of the list of sessions; a fresh token may name others. */
export type Listed = Index | IndexChanged | Refreshed;

/** An optional frame of a later version: to be ignored. */
export interface Unknown {
  readonly kind: "Unknown";
  readonly type: number;
}

export type ClientMessage =
  | Hello
  | Open
  | Push
  | SetPresence
  | Refresh
  | Leave
  | Ping
  | Declare
  | Serve
  | Claim
  | Watch;

export type ServerMessage =
  | Welcome
  | Opened
  | Ack
  | Reject
  | Update
  | PresenceChanged
  | Closed
  | Bye
  | Pong
  | Refreshed
  | Storage
  | Work
  | Index
  | IndexChanged
  | Unknown;
