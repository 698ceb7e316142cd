/** Arrival: how somebody becomes an account here: by a name, a token, or an invitation. Needed once, so loaded then. */

import { tokenOf, type Account } from "./account.js";
import { nameOf } from "../people/names.js";
import { redeem } from "./redeem.js";

/** The account of a server in development mode: a name is enough. Null for what is no name. */
export function fromName(name: string): Account | null {
  const word = name.trim().toLowerCase().replace(/\s+/g, "-");
  return /^[\p{L}\p{N}][\p{L}\p{N}._-]{0,62}$/u.test(word) ? fromToken(`dev:${word}`) : null;
}

/** The account that a token is of, as the token says itself. Null for what is no token. */
export function fromToken(token: string): Account | null {
  const alone = { token, guestKey: "", codes: [] };
  const dev = /^dev:(.+)$/.exec(token);
  if (dev) {
    const subject = dev[1]!.includes(":") ? dev[1]! : `user:${dev[1]}`;
    return { subject, name: nameOf(subject), ...alone };
  }
  const claims = claimsOf(token);
  const subject = claims?.["sub"];
  if (typeof subject !== "string" || !subject.includes(":")) return null;
  const name = claims?.["name"];
  return { subject, name: typeof name === "string" && name ? name : nameOf(subject), ...alone };
}

/** Take up an invitation: as who is signed in here already, else as a guest called `name`. */
export async function join(
  code: string,
  name: string,
  account: Account | null,
): Promise<{ account: Account; session: string }> {
  const guestKey = account?.guestKey || randomKey();
  const before = account ? await tokenOf(account)() : "";
  const { session, subject, name: called } = await redeem(code, { name, guestKey, token: before });
  if (account && isDev(account)) return { account, session };
  const codes = [...(account?.codes ?? []).filter((one) => one !== code), code];
  return { account: { subject, name: called, token: account?.token ?? "", guestKey, codes }, session };
}

/** Whether it is of a server in development mode, where everybody may do everything. */
function isDev(account: Account): boolean {
  return account.token.startsWith("dev:");
}

function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, "-")
    .replace(/\//g, "_");
}

function claimsOf(token: string): { readonly [claim: string]: unknown } | null {
  const body = token.split(".")[1];
  if (!body) return null;
  try {
    const bytes = Uint8Array.from(atob(body.replace(/-/g, "+").replace(/_/g, "/")), (unit) => unit.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof claims === "object" && claims !== null ? (claims as { [claim: string]: unknown }) : null;
  } catch {
    return null;
  }
}
