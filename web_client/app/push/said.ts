/**
 * What the service worker says to the pages.
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

/** What is kept with a notification. */
export interface Kept {
  readonly id: string;
  readonly session: string;
  readonly path: string;
}
