/** Status: where a session, or the link, stands with the server. The same words as the Python client's. */

/**
 * `live`: what others write arrives as it happens. `reconnecting`: the link was there a moment ago. `offline`: the last
 * attempt failed; attempts go on. `refused`: the server does not want this client as it is; attempts stop until
 * something changed (`client.retry()`, `client.useToken()`).
 */
export type LinkStatus = "live" | "reconnecting" | "offline" | "refused";

export interface Status {
  readonly link: LinkStatus;
  /** A close code of PROTOCOL 6, 0 where there is none. */
  readonly code: number;
  readonly reason: string;
  /** The server's disk is full: edits are kept here and go out when it has space. */
  readonly storageFull: boolean;
  /** Attempts in a row that failed. */
  readonly attempts: number;
}

export const OFFLINE: Status = {
  link: "offline",
  code: 0,
  reason: "",
  storageFull: false,
  attempts: 0,
};
