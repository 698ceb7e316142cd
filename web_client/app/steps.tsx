/** Steps: how many alternatives a message has, and the way between them. Loaded when there is one that has any. */

import type { BranchItem } from "../src/branches.js";
import { BackIcon, NextIcon } from "./icons.js";
import { useAsk, useHere } from "./here.js";

export function Steps({ item, stepped }: { item: BranchItem; stepped: () => void }) {
  const { view } = useHere();
  const ask = useAsk();
  const step = (way: "previous" | "next") =>
    ask(() => {
      view[way](item.message.id);
      stepped();
    });
  return (
    <span class="branch" role="group" aria-label="Alternatives">
      <button
        class="plain"
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
        aria-label="Next alternative"
        disabled={item.index >= item.count}
        onClick={() => step("next")}
      >
        <NextIcon />
      </button>
    </span>
  );
}
