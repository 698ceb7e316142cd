/**
 * Limits: the bounds that bind a client. PROTOCOL 8 has the reasons.
 *
 * Knows nothing of who enforces them.
 */

export interface Limits {
  /** One frame that this client sends; the server says its own in `Welcome`. */
  readonly frameBytesMax: number;
  /** One peer's presence, as msgpack; the server says its own in `Welcome`. */
  readonly presenceBytesMax: number;
  /** Structs of one update, and of its deletions. */
  readonly updateStructsMax: number;
  /** Client ids of one update. */
  readonly updateClientsMax: number;
  /** Client ids that one open or declare may name. */
  readonly clientIdsPerFrameMax: number;
  /** Nesting of one value. */
  readonly valueDepthMax: number;
  /** Nesting of shared types in each layer. */
  readonly transcriptDepthMax: number;
  readonly stateDepthMax: number;
  readonly stateRootsMax: number;
  /** A root's name or a map's key. */
  readonly keyBytesMax: number;
  readonly sessionsPerLinkMax: number;
}

export const DEFAULT_LIMITS: Limits = {
  frameBytesMax: 1 << 20,
  presenceBytesMax: 4 << 10,
  updateStructsMax: 5_000,
  updateClientsMax: 1_000,
  clientIdsPerFrameMax: 256,
  valueDepthMax: 32,
  transcriptDepthMax: 8,
  stateDepthMax: 64,
  stateRootsMax: 256,
  keyBytesMax: 256,
  sessionsPerLinkMax: 64,
};

/** The room that a push needs in its frame beside the update. */
export const FRAME_OVERHEAD_BYTES = 256;
