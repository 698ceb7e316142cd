/** Invitations: links to one session with a role. The code stands behind the hash, so no server's log has it. */

import { request } from "../kit/api.js";

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

/** What somebody invites to: one keeps their own invitations, for who signs in after them has not made them. */
export interface Place {
  readonly session: string;
  /** Who invites, such as `user:mona`. */
  readonly me: string;
}

/** Make an invitation; returns the link to give away. It is shown once. */
export async function invite(token: string, place: Place, role: RoleName, seconds: number): Promise<string> {
  const made = await request<{ code: string; invite: string; expires_at: number }>(
    `/v1/sessions/${place.session}/invites`,
    { method: "POST", token, body: { role, expires_in_s: seconds } },
  );
  keep(place, [...invitations(place), { id: made.invite, role, expiresAt: made.expires_at * 1000 }]);
  return `${location.origin}/#invite=${encodeURIComponent(made.code)}`;
}

/** Those made here that are not over. */
export function invitations(place: Place): Invitation[] {
  try {
    const kept = JSON.parse(localStorage.getItem(keyOf(place)) ?? "[]") as Invitation[];
    return kept.filter(({ expiresAt }) => expiresAt > Date.now());
  } catch {
    return [];
  }
}

/** Take one back, and with it the tokens that were got by it. */
export async function withdraw(token: string, place: Place, id: string): Promise<void> {
  await request<null>(`/v1/sessions/${place.session}/invites/${id}`, { method: "DELETE", token });
  keep(
    place,
    invitations(place).filter((one) => one.id !== id),
  );
}

function keep(place: Place, made: readonly Invitation[]): void {
  localStorage.setItem(keyOf(place), JSON.stringify(made));
}

function keyOf({ session, me }: Place): string {
  return `syncd:invites:${me}:${session}`;
}
