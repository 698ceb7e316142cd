/** Attending: that somebody looks at a session, and how far they have read. */

import { useEffect, useState } from "preact/hooks";
import type { Session } from "../../src/session.js";
import { useNewest } from "../kit/frame.js";

/** How long the end has to be seen until it counts as read, milliseconds. */
const READ_MS = 800;

/** Say in presence that this tab shows the session, and on what; whether anybody looks is said by itself. */
export function useWhereabouts(session: Session): void {
  useEffect(() => {
    session.attend(true);
    session.presence.update({ gone: null, where: matchMedia("(pointer: coarse)").matches ? "phone" : "computer" });
    return () => {
      // It stays open, to be read without a network.
      session.attend(false);
      session.presence.update({ gone: true, where: null, status: null, cursor: null });
    };
  }, [session]);
}

/** Returns what to call when the end is seen: a moment later it is marked as read. */
export function useMarkRead(session: Session): () => void {
  const [state] = useState<{ timer: ReturnType<typeof setTimeout> | null }>({ timer: null });
  useEffect(
    () => () => {
      if (state.timer) clearTimeout(state.timer);
      state.timer = null;
    },
    [session],
  );
  return useNewest(() => {
    state.timer ??= setTimeout(() => {
      state.timer = null;
      // Without a link it would only be one more edit that waits, which nobody made knowingly.
      if (session.status.link !== "live" || !session.rights?.has("transcript")) return;
      if (document.visibilityState !== "visible") return;
      session.markRead().catch((error: unknown) => console.warn("what was read could not be noted:", error));
    }, READ_MS);
  });
}
