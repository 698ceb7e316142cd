/** The header of a session: what it is called, how the connection is, who is here, and what can be done with it. */

import { useState } from "preact/hooks";
import type { Absence } from "./caught_up.js";
import { Faces } from "../people/faces.js";
import { useHere, useMay } from "./here.js";
import { EditIcon, MenuIcon, PanelIcon } from "../kit/icons.js";
import { lazy } from "../kit/lazy.js";
import { titled } from "../people/names.js";
import { Pill } from "./pill.js";

const RenameSession = lazy(() => import("../kit/forms.js").then((module) => module.RenameSession));

interface Props {
  title: string;
  absence: Absence | null;
  cut: boolean;
  wide: boolean;
  panel: boolean;
  network: () => void;
  togglePanel: () => void;
  share: () => void;
  handOver: () => void;
  openMenu: () => void;
}

export function Header(props: Props) {
  const { wide, cut, panel } = props;
  return (
    <header class="top">
      {!wide && (
        <button class="plain" aria-label="Sessions" onClick={props.openMenu}>
          <MenuIcon />
        </button>
      )}
      <Title title={props.title} />
      <Pill absence={props.absence} cut={cut} />
      <span class="gap" />
      <Faces />
      {wide && (
        <>
          <button
            class={cut ? "primary" : undefined}
            title="Cut this tab off from the server and from your other tabs, to see what happens"
            onClick={props.network}
          >
            {cut ? "Reconnect" : "Cut network"}
          </button>
          <button onClick={props.handOver}>Hand over</button>
          <button onClick={props.share}>Share</button>
        </>
      )}
      <button
        class="plain"
        aria-label="Document and timeline"
        aria-pressed={wide ? panel : undefined}
        onClick={props.togglePanel}
      >
        <PanelIcon />
      </button>
    </header>
  );
}

function Title({ title }: { title: string }) {
  const { session } = useHere();
  const may = useMay("state");
  const [editing, setEditing] = useState(false);
  const name = titled(title) || session.id;
  if (editing) return <RenameSession title={title} close={() => setEditing(false)} />;
  return (
    <h1 title={name}>
      <span>{name}</span>
      {may && (
        <button class="plain rename" aria-label="Rename" onClick={() => setEditing(true)}>
          <EditIcon />
        </button>
      )}
    </h1>
  );
}
