/**
 * The public names of the core: sessions as documents that are replicated, for apps that bind editors and data to them.
 *
 * The whole library is this and the conversation on top.
 */

export { Client } from "./client.js";
export type { ClientOptions, Kept } from "./client.js";
export { LocalProtocolError, NotSynced, RemoteProtocolError, StoreError, SyncdError, TimedOut } from "./errors.js";
export { isId } from "./ids.js";
export type { Token } from "./link.js";
export type { Json, JsonMap, Layer, PresenceEntry, Right } from "./messages.js";
export type { Presence } from "./presence.js";
export type { Edit, RefusedEdit, Replica, ReplicaChange } from "./replica.js";
export { Session } from "./session.js";
export type { State } from "./state.js";
export type { LinkStatus, Status } from "./status.js";
export type { Timing } from "./timing.js";
