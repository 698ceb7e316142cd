/**
 * Keeping: the focus stays near where it was when what has it goes away, as a button does whose work is done.
 *
 * 1. A browser leaves it with the page as a whole: who uses the keyboard, or has the page read out, begins anew at its
 *    top. Here it goes to what was around, a card or a dialog, and else to the field for messages.
 * 2. Who gives it up themselves, and what has a better place for it, is let be: it is only moved from nowhere.
 * 3. What may not be pressed for a moment has it back after that; of a group, another that may be pressed has it.
 */

/** Call it once. */
export function keepFocus(): void {
  let last: Element | null = null;
  let around: Element[] = [];
  let looks = false;
  addEventListener("focusin", ({ target }) => {
    last = target as Element;
    around = [];
    for (let at = last.parentElement; at; at = at.parentElement) around.push(at);
  });
  addEventListener("focusout", () =>
    queueMicrotask(() => {
      if (isNowhere() && last?.isConnected && !last.matches(":disabled")) last = null; // Invariant 2.
    }),
  );
  const look = () => {
    looks = false;
    const isOff = last?.matches(":disabled");
    if (!last || !(isNowhere() || (isOff && document.activeElement === last))) return;
    if (!last.isConnected) give(around.find((at) => at.isConnected && at.matches("dialog, [tabindex]")) ?? end());
    else if (!isOff) give(last);
    else give(last.closest("[role=group], .undo")?.querySelector("button:enabled"));
  };
  new MutationObserver(() => {
    if (looks || !last || (last.isConnected && !last.matches("button"))) return;
    looks = true;
    // After what is done at once, such as a form that gives the focus back to the button that opened it.
    setTimeout(look);
  }).observe(document, { childList: true, subtree: true, attributes: true, attributeFilter: ["disabled"] });
}

function isNowhere(): boolean {
  return document.activeElement === null || document.activeElement === document.body;
}

function give(to: Element | null | undefined): void {
  if (!(to instanceof HTMLElement)) return;
  if (to instanceof HTMLDialogElement) to.tabIndex = -1; // By itself it takes no focus.
  to.focus({ preventScroll: true });
}

/** On a phone a keyboard would cover half of what there is to read. */
function end(): Element | null {
  return document.querySelector(matchMedia("(pointer: fine)").matches ? ".composer textarea" : "main[tabindex]");
}
