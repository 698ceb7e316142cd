/**
 * The public names of the whole library: the core's, and the conversation on top.
 *
 * The core alone is `core/`; hooks are in `hooks`, a search over all sessions is in `search`.
 */

export { Branches, isRequest } from "./branches.js";
export type { BranchItem, Selection } from "./branches.js";
export type { Change, Changes } from "./changes.js";
export { Client } from "./client.js";
export type { ClientOptions } from "./client.js";
export type { Command, CommandOptions, CommandView } from "./commands.js";
export {
  isId,
  LocalProtocolError,
  NotSynced,
  RemoteProtocolError,
  StoreError,
  SyncdError,
  TimedOut,
} from "./core/index.js";
export type {
  Edit,
  Json,
  JsonMap,
  Layer,
  LinkStatus,
  Presence,
  PresenceEntry,
  RefusedEdit,
  Replica,
  ReplicaChange,
  Right,
  State,
  Status,
  Timing,
  Token,
} from "./core/index.js";
export { isSubject, uuid7 } from "./core/ids.js";
export type { Message, PostOptions } from "./posted.js";
export type { Decision, Handover, RunStatus, RunView } from "./runs.js";
export type { CommandKind, CommandReceipt, Outcome, Part, Receipt, Role } from "./schema.js";
export type { Everywhere } from "./search/everywhere.js";
export type { SearchHit } from "./search/requests.js";
export { Session } from "./session.js";
export type { Stream } from "./stream.js";
export { summarize } from "./summary.js";
export type { Approval, Onlooker, Summary } from "./summary.js";
export type { MessageView } from "./transcript.js";
export { View } from "./view.js";
export type { ViewOptions } from "./view.js";
