/** Invitations: links to one session with a role. The code stands behind the hash, so no server's log has it. */

import { request } from "./api.js";

export const ROLES = [
  { name: "viewer", label: "read" },
  { name: "commenter", label: "read and write" },
  { name: "editor", label: "read, write, edit the document, and answer agents" },
] as const;
export type RoleName = (typeof ROLES)[number]["name"];

/** An invitation that was made on this device: the server keeps none, only which were taken back. */
export interface Invitation {
  readonly id: string;
  readonly role: RoleName;
  /** Unix ms. */
  readonly expiresAt: number;
}

/** Make an invitation; returns the link to give away. It is shown once. */
export async function invite(token: string, session: string, role: RoleName, seconds: number): Promise<string> {
  const made = await request<{ code: string; invite: string; expires_at: number }>(`/v1/sessions/${session}/invites`, {
    method: "POST",
    token,
    body: { role, expires_in_s: seconds },
  });
  keep(session, [...invitations(session), { id: made.invite, role, expiresAt: made.expires_at * 1000 }]);
  return `${location.origin}/#invite=${encodeURIComponent(made.code)}`;
}

/** Those made here that are not over. */
export function invitations(session: string): Invitation[] {
  try {
    const kept = JSON.parse(localStorage.getItem(place(session)) ?? "[]") as Invitation[];
    return kept.filter(({ expiresAt }) => expiresAt > Date.now());
  } catch {
    return [];
  }
}

/** Take one back, and with it the tokens that were got by it. */
export async function withdraw(token: string, session: string, id: string): Promise<void> {
  await request<null>(`/v1/sessions/${session}/invites/${id}`, { method: "DELETE", token });
  keep(
    session,
    invitations(session).filter((one) => one.id !== id),
  );
}

function keep(session: string, made: readonly Invitation[]): void {
  localStorage.setItem(place(session), JSON.stringify(made));
}

function place(session: string): string {
  return `syncd:invites:${session}`;
}
