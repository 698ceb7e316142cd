/** Redeem: what an invitation gives to whoever takes it up. */

import { request } from "../kit/api.js";

export interface Redeemed {
  readonly token: string;
  readonly session: string;
  readonly subject: string;
  readonly name: string;
  /** Unix ms: the token's, not the invitation's. */
  readonly expiresAt: number;
}

/** Take an invitation up. `token` is of who is signed in already; without one they are a guest. */
export async function redeem(
  code: string,
  { name, guestKey, token }: { name: string; guestKey: string; token: string },
): Promise<Redeemed> {
  const body = token ? { code } : { code, name, guest_key: guestKey };
  const answer = await request<Omit<Redeemed, "expiresAt"> & { expires_at: number }>("/v1/invites/redeem", {
    method: "POST",
    token,
    body,
  });
  return { ...answer, expiresAt: answer.expires_at * 1000 };
}
