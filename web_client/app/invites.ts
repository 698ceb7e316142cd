/** Invitations: links to one session with a role. The code stands behind the hash, so no server's log has it. */

import { request } from "./api.js";

export type RoleName = "reader" | "writer";

export const ROLES: readonly { readonly name: RoleName; readonly label: string }[] = [
  { name: "reader", label: "read" },
  { name: "writer", label: "read, write and decide" },
];

export interface Invitation {
  readonly id: string;
  readonly role: string;
  /** Unix ms. */
  readonly createdAt: number;
  readonly expiresAt: number;
}

interface InvitationRow {
  readonly id: string;
  readonly role: string;
  readonly created_at: number;
  readonly expires_at: number;
}

/** Make an invitation; returns the link to give away. It is shown once: the server keeps no code. */
export async function invite(token: string, session: string, role: RoleName, seconds: number): Promise<string> {
  const { code } = await request<{ code: string }>(`/v1/sessions/${session}/invites`, {
    method: "POST",
    token,
    body: { role, ttl_s: seconds },
  });
  return `${location.origin}/#invite=${encodeURIComponent(code)}`;
}

export async function invitations(token: string, session: string): Promise<Invitation[]> {
  const { invites } = await request<{ invites: readonly InvitationRow[] }>(`/v1/sessions/${session}/invites`, {
    token,
  });
  return invites.map((row) => ({ id: row.id, role: row.role, createdAt: row.created_at, expiresAt: row.expires_at }));
}

export async function withdraw(token: string, session: string, id: string): Promise<void> {
  await request(`/v1/sessions/${session}/invites/${id}`, { method: "DELETE", token });
}

/** Take an invitation up under a name. */
export function redeem(code: string, name: string): Promise<{ token: string; session: string }> {
  return request("/v1/invites/redeem", { method: "POST", body: { code, name } });
}
