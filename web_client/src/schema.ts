/**
 * Schema: the transcript's roots and the values they are made of, with their checks. PROTOCOL 5.
 *
 * Plain data. Knows nothing of documents: how it is written into one is in `transcript` and `commands`.
 */

import { LocalProtocolError } from "./core/errors.js";
import { isId, isSubject } from "./core/ids.js";
import type { Json, JsonMap } from "./core/messages.js";
import { checkValue } from "./core/values.js";

export type Root = "messages" | "runs" | "commands" | "reads" | "receipts";

export type Role = "user" | "assistant" | "system";
export const ROLES: readonly Role[] = ["user", "assistant", "system"];

export type CommandKind = "cancel" | "steer" | "approve" | "deny" | "tool_result" | "handoff";
const COMMAND_KINDS: readonly string[] = ["cancel", "steer", "approve", "deny", "tool_result", "handoff"];
export type TargetKind = "run" | "message" | "tool_call" | "session";
export const TARGETS: readonly TargetKind[] = ["run", "message", "tool_call", "session"];

/** One part of a message, fields as in PROTOCOL 5.1. */
export type Part = { readonly type: string } & JsonMap;

/** Part types whose text grows while it is written. */
export function isStreamed(type: Json | undefined): type is "text" | "reasoning" {
  return type === "text" || type === "reasoning";
}

/** A message about to be written. Times are Unix ms; the work that it makes must be over by `expiresAt`. */
export interface NewMessage {
  readonly id: string;
  readonly role: Role;
  readonly author: JsonMap;
  readonly createdAt: number;
  readonly parts: readonly Part[];
  readonly to: readonly string[];
  readonly run?: string | undefined;
  readonly attempt?: number | undefined;
  readonly parent?: string | null | undefined;
  readonly forkOf?: string | null | undefined;
  readonly expiresAt?: number | undefined;
  readonly metadata?: JsonMap | undefined;
}

/** An immutable request, about to be written. */
export interface NewCommand {
  readonly id: string;
  readonly kind: CommandKind;
  readonly at: number;
  readonly target: { readonly [kind in TargetKind]?: string | undefined };
  readonly payload?: Json | undefined;
  readonly expiresAt?: number | undefined;
}

/** What the server decided about a message: its place, its verified author, when it arrived (Unix ms). */
export interface Receipt {
  readonly seq: number;
  readonly by: string;
  readonly at: number;
}

export type Outcome = "accepted" | "duplicate" | "late" | "denied" | "expired";

export interface CommandReceipt extends Receipt {
  readonly outcome: Outcome;
}

/** Refuse a message that the schema does not allow: throws `LocalProtocolError`, which says what and why. */
export function checkMessage(message: NewMessage): void {
  const ids = { run: message.run, parent: message.parent, forkOf: message.forkOf };
  if (!isId(message.id)) refuse(`message id ${quote(message.id)} is not an id: 1 to 64 of A-Z a-z 0-9 _ -`);
  for (const [name, id] of Object.entries(ids)) {
    if (id != null && !isId(id)) refuse(`message ${name} ${quote(id)} is not an id: 1 to 64 of A-Z a-z 0-9 _ -`);
  }
  if (!ROLES.includes(message.role)) refuse(`role ${quote(message.role)} is none of ${ROLES.join(", ")}`);
  for (const subject of message.to) {
    if (!isSubject(subject)) refuse(`${quote(subject)} is not a subject such as "agent:planner"`);
  }
  for (const part of message.parts) checkPart(part);
  checkValue(message.metadata ?? {});
  checkValue(message.author);
}

/** Refuse what is no part: throws `LocalProtocolError`. */
export function checkPart(part: Part): void {
  if (typeof part.type !== "string") refuse('every part has a type, such as "text"');
  checkValue(part);
}

/** Refuse a command that the schema does not allow: throws `LocalProtocolError`. */
export function checkCommand(command: NewCommand): void {
  if (!isId(command.id)) refuse(`command id ${quote(command.id)} is not an id`);
  if (!COMMAND_KINDS.includes(command.kind)) {
    refuse(`command ${quote(command.kind)} is none of ${COMMAND_KINDS.join(", ")}`);
  }
  const named = Object.entries(command.target).filter(([, id]) => id !== undefined);
  if (named.length !== 1 || !TARGETS.includes(named[0]![0] as TargetKind) || typeof named[0]![1] !== "string") {
    refuse("a command names one target: a run, message, tool_call or session");
  }
  checkValue(command.payload ?? null);
}

function quote(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}

function refuse(why: string): never {
  throw new LocalProtocolError(why);
}
