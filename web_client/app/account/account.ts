/**
 * The account: who this browser is, kept over reloads: a token, or the links by which somebody came in, or both.
 *
 * There is no cookie and no password. What a token allows the server decides.
 */

import { RequestFailed } from "../kit/api.js";

const STORED = "syncd:account";
/** A token is asked for anew when it has less left than this, milliseconds. */
const LEFT_MS = 120_000;
/** An invitation that is over; any other failure may pass. */
const OVER = new Set(["bad_invite", "invite_expired", "invite_revoked", "not_found"]);

export interface Account {
  /** Such as `user:mona`. */
  readonly subject: string;
  readonly name: string;
  /** The token that was signed in with; empty for a guest. */
  readonly token: string;
  /** A guest's secret, by which they are the same guest again. */
  readonly guestKey: string;
  /** Codes of the invitations that were taken up. */
  readonly codes: readonly string[];
}

/** Who is signed in; null for nobody. */
export function stored(): Account | null {
  try {
    const kept = JSON.parse(localStorage.getItem(STORED) ?? "null") as Account | null;
    return kept?.subject ? kept : null;
  } catch {
    return null;
  }
}

export function keep(account: Account): void {
  localStorage.setItem(STORED, JSON.stringify(account));
}

/** Call `then` when another tab may have signed out, or in as somebody: it is one account in all tabs. For as long as the page lives. */
export function onMoved(then: () => void): void {
  // Without a key all was erased; or the page was kept for the way back, and is told of nothing meanwhile.
  const look = (event: Event) => ((event as StorageEvent).key ?? STORED) === STORED && then();
  addEventListener("storage", look);
  addEventListener("pageshow", look);
}

export function forget(): void {
  localStorage.removeItem(STORED);
}

/** What gives a token whenever one is needed. It throws while the server that has to give it does not answer. */
export function tokenOf(account: Account): () => Promise<string> {
  let fresh = { token: "", until: 0 };
  return async () => {
    if (account.codes.length === 0) return account.token;
    if (fresh.until - Date.now() > LEFT_MS) return fresh.token;
    // Needed by guests alone.
    const { redeem } = await import("./redeem.js");
    let { token } = account;
    let until = 0;
    // Each one adds its session to what the token before it names.
    for (const code of account.codes) {
      try {
        const given = await redeem(code, { name: account.name, guestKey: account.guestKey, token });
        token = given.token;
        until = until === 0 ? given.expiresAt : Math.min(until, given.expiresAt);
      } catch (error) {
        if (!(error instanceof RequestFailed) || !OVER.has(error.code)) throw error;
      }
    }
    fresh = { token, until };
    return token;
  };
}

/** The name of this person's store in this browser. */
export function storeOf({ subject }: Account): string {
  return `syncd ${subject}`;
}
