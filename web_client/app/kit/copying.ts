/** Copying: a text into the clipboard. */

/** Rejects in words that say what to do instead: a page that is not secure has no clipboard, and others may ask. */
export async function copyOut(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch (cause) {
    throw new Error("This page may not copy by itself: select the text and press Ctrl+C (⌘C).", { cause });
  }
}
