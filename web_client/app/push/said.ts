/**
 * What the service worker and the pages say to each other.
 *
 * Types alone: code that both had would be a file of its own, and the worker has to be one.
 */

export type Said =
  /** Show `path`: its notification was clicked. */
  | { readonly type: "go"; readonly path: string }
  /** The browser replaced this device's subscription. */
  | { readonly type: "subscribed" }
  /** Say over the port that comes with it which session is shown, empty for none. */
  | { readonly type: "where" };

/** What a page says to the service worker. */
export type Asked =
  /** Take charge of the pages that are open. */
  { readonly type: "claim" };

/** What is kept with a notification. */
export interface Kept {
  readonly id: string;
  readonly session: string;
  readonly path: string;
}
