/**
 * Content: a session as plain rows, as a download holds them. Reads the two documents (PROTOCOL 5.1 to 5.3).
 *
 * Nothing is left out: what a table has no column for stands in its `content`. Knows nothing of SQL.
 */

import type * as Y from "yjs";
import type { Layer } from "../core/messages.js";

/** A value of a column; JSON goes as text. */
export type Cell = string | number | null;

/** A session: the rows of each table of a download, by their columns. */
export interface SessionContent {
  readonly session: string;
  /** Table to rows. */
  readonly tables: Readonly<Record<string, readonly Readonly<Record<string, Cell>>[]>>;
}

type Row = Record<string, Cell>;
type Fields = Readonly<Record<string, unknown>>;

const RECEIPT_KINDS: Readonly<Record<string, string>> = {
  m: "message",
  c: "command",
  r: "run",
  d: "decision",
  a: "assignment",
};

/** Read a session, its state too if there is one, as it is `nowMs`. */
export function contentOf(session: string, transcript: Y.Doc, state: Y.Doc | null, nowMs: number): SessionContent {
  const receipts = entries(transcript, "receipts");
  const messages = entries(transcript, "messages");
  const receiptOf = new Map(receipts);
  return {
    session,
    tables: {
      session: [{ id: session, exported_at: nowMs }],
      messages: messages.map(([id, raw]) => messageRow(id, fields(raw), fields(receiptOf.get(`m:${id}`)), raw)),
      parts: messages.flatMap(([id, raw]) => partRows(id, fields(raw))),
      runs: entries(transcript, "runs").map(([key, raw]) => runRow(key, fields(raw), raw)),
      commands: entries(transcript, "commands").map(([id, raw]) =>
        commandRow(id, fields(raw), fields(receiptOf.get(`c:${id}`)), raw),
      ),
      receipts: receipts.map(([key, raw]) => ({
        key,
        kind: RECEIPT_KINDS[key.slice(0, Math.max(0, key.indexOf(":")))] ?? key,
        content: json(raw) ?? "null",
      })),
      reads: entries(transcript, "reads").map(([subject, raw]) => {
        const { seq, at } = fields(raw);
        return { subject, seq: whole(seq), at: whole(at) };
      }),
      state: Object.entries(state?.toJSON() ?? {}).map(([name, raw]) => ({ name, content: json(raw) ?? "null" })),
    },
  };
}

/** What a `Client` has, as far as the content of its sessions goes. */
interface Copies {
  replica(session: string): Promise<{ document(layer: Layer): Y.Doc; close(): Promise<void> }>;
}

/** The contents of the sessions of a client, from its copies as they are when asked for. */
export function contentsOf(client: Copies): (session: string) => Promise<SessionContent> {
  return async (session) => {
    const replica = await client.replica(session);
    try {
      return contentOf(session, replica.document("transcript"), replica.document("state"), Date.now());
    } finally {
      await replica.close();
    }
  };
}

function messageRow(id: string, message: Fields, receipt: Fields, raw: unknown): Row {
  const texts = parts(message).filter((part) => part["type"] === "text");
  return {
    id,
    seq: whole(receipt["seq"]),
    by: text(receipt["by"]),
    at: whole(receipt["at"]),
    role: text(message["role"]),
    author: json(message["author"]),
    created_at: whole(message["created_at"]),
    run: text(message["run"]),
    attempt: whole(message["attempt"]),
    parent: text(message["parent"]),
    fork_of: text(message["fork_of"]),
    to: json(message["to"]),
    expires_at: whole(message["expires_at"]),
    metadata: json(message["metadata"]),
    text: texts.flatMap((part) => textOf(part) || []).join("\n\n"),
    content: json(raw) ?? "null",
  };
}

function partRows(message: string, of: Fields): Row[] {
  return parts(of).map((part, position) => ({
    message,
    position,
    id: text(part["id"]),
    type: text(part["type"]),
    state: text(part["state"]),
    text: textOf(part),
    content: json(part) ?? "null",
  }));
}

function runRow(key: string, run: Fields, raw: unknown): Row {
  const at = key.lastIndexOf("_");
  return {
    run: text(run["run"]) ?? key.slice(0, at),
    attempt: whole(run["attempt"]) ?? (Number.parseInt(key.slice(at + 1), 10) || 0),
    agent: text(run["agent"]),
    status: text(run["status"]),
    message: text(run["message"]),
    parent_run: text(run["parent_run"]),
    task: text(run["task"]),
    started_at: whole(run["started_at"]),
    ended_at: whole(run["ended_at"]),
    finish_reason: text(run["finish_reason"]),
    content: json(raw) ?? "null",
  };
}

function commandRow(id: string, command: Fields, receipt: Fields, raw: unknown): Row {
  const target = ["run", "message", "tool_call", "session"].find((name) => typeof command[name] === "string");
  return {
    id,
    seq: whole(receipt["seq"]),
    by: text(receipt["by"]),
    at: whole(receipt["at"]),
    outcome: text(receipt["outcome"]),
    kind: text(command["kind"]),
    target: target ?? null,
    target_id: target === undefined ? null : text(command[target]),
    payload: json(command["payload"]),
    expires_at: whole(command["expires_at"]),
    content: json(raw) ?? "null",
  };
}

/** The entries of a root, as JSON values. Not by the root's own `toJSON`: `__proto__` is an id. */
function entries(document: Y.Doc, root: string): [string, unknown][] {
  return Array.from(document.getMap(root).entries(), ([key, value]) => {
    const { toJSON } = Object(value) as { toJSON?: () => unknown };
    return [key, typeof toJSON === "function" ? toJSON.call(value) : value];
  });
}

function fields(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function parts(message: Fields): Fields[] {
  const found = message["parts"];
  return Array.isArray(found) ? found.map(fields) : [];
}

/** A part's text with all its segments; null if it has none. */
function textOf(part: Fields): string | null {
  const more = part["more"];
  const rest = Array.isArray(more) ? more.filter((one) => typeof one === "string").join("") : "";
  return typeof part["text"] === "string" ? part["text"] + rest : null;
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function whole(value: unknown): number | null {
  return Number.isSafeInteger(value) ? (value as number) : null;
}

/** A value as JSON; null for none. What JSON has no word for goes as text or in base64. */
function json(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner === "bigint") return inner.toString();
    if (inner instanceof Uint8Array) return { base64: btoa(Array.from(inner, (b) => String.fromCharCode(b)).join("")) };
    return inner;
  });
}
