/** The public names of the library. Hooks are in `hooks`, a search over all sessions is in `search`. */

export { Branches, isRequest } from "./branches.js";
export type { BranchItem, Selection } from "./branches.js";
export type { Change, Changes } from "./changes.js";
export { Client } from "./client.js";
export type { ClientOptions } from "./client.js";
export type { Command, CommandOptions, CommandView } from "./commands.js";
export { LocalProtocolError, NotSynced, RemoteProtocolError, StoreError, SyncdError, TimedOut } from "./errors.js";
export { isId, isSubject, uuid7 } from "./ids.js";
export type { Json, JsonMap, Layer, PresenceEntry, Right } from "./messages.js";
export type { Timing, Token } from "./link.js";
export type { Message, PostOptions } from "./posted.js";
export type { Presence } from "./presence.js";
export type { Edit, RefusedEdit, Replica, ReplicaChange } from "./replica.js";
export type { Decision, Handover, RunStatus, RunView } from "./runs.js";
export type { CommandKind, CommandReceipt, Outcome, Part, Receipt, Role } from "./schema.js";
export { Session } from "./session.js";
export type { State } from "./state.js";
export type { LinkStatus, Status } from "./status.js";
export type { Stream } from "./stream.js";
export { summarize } from "./summary.js";
export type { Approval, Onlooker, Summary } from "./summary.js";
export type { MessageView } from "./transcript.js";
export { View } from "./view.js";
export type { ViewOptions } from "./view.js";
