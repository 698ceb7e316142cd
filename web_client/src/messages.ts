/**
 * Messages: the words that travel between a client and the server. PROTOCOL 3.
 *
 * Plain data. Knows nothing of bytes (see `codec`), sockets or documents.
 */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonMap = { readonly [key: string]: Json };

/** The two documents of a session. */
export type Layer = "transcript" | "state";
export const LAYERS: readonly Layer[] = ["transcript", "state"];

/** What a grant may allow on a session; reading is implied. */
export type Right = "transcript" | "state" | "presence" | "command" | "admin";

/** One peer that is on a session. All but `state` is stamped by the server; `state` null means that it is gone. */
export interface PresenceEntry {
  readonly peer: string;
  readonly subject: string;
  readonly name: string;
  readonly kind: string;
  readonly device: string;
  readonly state: Json;
}
