/**
 * A dialog on the native element: it keeps the focus inside, closes on Escape, and gives the focus back. It begins with
 * what has `autofocus`, else with its own button to close it.
 */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { CloseIcon } from "./icons.js";

interface Props {
  title: string;
  close: () => void;
  children: ComponentChildren;
  /** How it looks, by a class: in the middle unless said. */
  kind?: "drawer-left" | "drawer-right" | "palette";
}

export function Dialog({ title, close, children, kind }: Props) {
  const element = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    return () => {
      // When it is gone: what is behind it takes no focus until then.
      queueMicrotask(() => {
        if (document.activeElement === document.body && before instanceof HTMLElement) before.focus();
      });
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={kind}
      aria-label={title}
      onClose={close}
      onClick={(event) => {
        // Its own box is all padding of its child: what is hit outside of that is the backdrop.
        if (event.target === event.currentTarget) event.currentTarget.close();
      }}
    >
      <div class="sheet">
        <header>
          <h2>{title}</h2>
          <button class="plain" aria-label="Close" onClick={() => element.current?.close()}>
            <CloseIcon />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
