/** Progress: how far a copy was told a session by the server. */

/** What the server said this device's copy is a copy of: stored beside it. */
export interface Progress {
  /** Empty until the first opening. */
  readonly incarnation: string;
  readonly version: number;
  readonly seq: number;
  /** Root names of the state to the number of their kind. */
  readonly roots: { readonly [name: string]: string };
}

export const NO_PROGRESS: Progress = { incarnation: "", version: 0, seq: 0, roots: {} };
