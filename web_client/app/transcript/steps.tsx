/** Steps: how many alternatives a message has, and the way between them. Loaded when there is one that has any. */

import { useLayoutEffect, useRef } from "preact/hooks";
import type { BranchItem } from "../../src/branches.js";
import { BackIcon, NextIcon } from "../kit/icons.js";
import { useAsk, useHere } from "../session/here.js";

/** The message that was just stepped to, and how: it is drawn anew, and the focus goes on from there. */
let reached = { id: "", way: "" };

export function Steps({ item, stepped }: { item: BranchItem; stepped: () => void }) {
  const { view } = useHere();
  const ask = useAsk();
  const group = useRef<HTMLElement>(null);
  const { id } = item.message;
  useLayoutEffect(() => {
    if (reached.id !== id) return;
    const buttons = [...group.current!.querySelectorAll<HTMLButtonElement>("button:enabled")];
    (buttons.find(({ name }) => name === reached.way) ?? buttons[0])?.focus({ preventScroll: true });
    reached = { id: "", way: "" };
  }, [id]);
  const step = (way: "previous" | "next") =>
    ask(() => {
      reached = { id: view[way](id), way };
      stepped();
    });
  return (
    <span class="branch" ref={group} role="group" aria-label="Alternatives">
      <button
        class="plain"
        name="previous"
        aria-label="Previous alternative"
        disabled={item.index <= 1}
        onClick={() => step("previous")}
      >
        <BackIcon />
      </button>
      <span aria-label={`${item.index} of ${item.count}`}>
        {item.index}/{item.count}
      </span>
      <button
        class="plain"
        name="next"
        aria-label="Next alternative"
        disabled={item.index >= item.count}
        onClick={() => step("next")}
      >
        <NextIcon />
      </button>
    </span>
  );
}
