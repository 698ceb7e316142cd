/** What comes when the page has all it needs itself: the styles of what opens later, a keeper of the focus, the worker. */

import { install } from "./install.js";
import { keepFocus } from "./kit/keeping.js";
import styles from "./later.css?url";

/** Call it once, when the page is loaded. */
export function loaded(): void {
  dress();
  keepFocus();
  void install();
}

/** Have the sheet of styles; where the network does not give it, when there is one again. */
function dress(): void {
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: styles });
  link.onerror = () => {
    link.remove();
    addEventListener("online", dress, { once: true });
  };
  document.head.append(link);
}
