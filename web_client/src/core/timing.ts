/** Timing: how long what concerns the network may take before it is taken for failed. */

/** How long things may take, in ms. */
export interface Timing {
  /** From the attempt to the server's welcome: a network that swallows everything gives no error. */
  readonly connect: number;
  /** For a sign of life, where the page has reason to doubt: it was asleep, or the network changed. */
  readonly doubt: number;
  /** First wait before coming back, doubled each time. */
  readonly backoff: number;
  readonly backoffMax: number;
  /** A link that held this long was a good one: the next attempt is a first one again. */
  readonly stable: number;
  /** A push that is not answered for this long: the session is opened again. */
  readonly ack: number;
}

export const TIMING: Timing = {
  connect: 10_000,
  doubt: 4_000,
  backoff: 200,
  backoffMax: 15_000,
  stable: 2_000,
  ack: 60_000,
};
