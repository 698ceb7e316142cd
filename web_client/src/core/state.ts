/**
 * State: maps, lists and texts that everybody in a session edits together, as the Yjs types they are.
 *
 * Knows nothing of the network. A local transaction on the document is an own edit, whoever makes it: this module, an
 * app, an editor's binding.
 */

import * as Y from "yjs";
import { LocalProtocolError } from "./errors.js";
import type { Json } from "./messages.js";
import type { Replica } from "./replica.js";
import { checkText } from "./values.js";

const NAME_BYTES_MAX = 256;
/** The map with the session's title. */
const ABOUT = "session";
/** Kinds of roots, by number. PROTOCOL 5.3. */
const KINDS = ["list", "map", "text", "XML element", "XML fragment", "?", "XML text"];

/** Every origin: an editor's binding gives its transactions one of its own. */
class AnyOrigin extends Set<unknown> {
  override has(): boolean {
    return true;
  }
}

/**
 * The state layer of a session.
 *
 * 1. Undo takes back local transactions, of whatever origin, and nobody else's; but none that only says what the session
 *    is called: who undoes looks at a text.
 * 2. After `reloaded` there is another document: take types by name again rather than keep them for long.
 */
export class State {
  #undo: Y.UndoManager | null = null;

  constructor(private readonly replica: Pick<Replica, "document" | "roots">) {}

  /** The Yjs document, for editor bindings. */
  get document(): Y.Doc {
    const document = this.replica.document("state");
    if (this.#undo?.doc !== document) {
      this.#undo?.destroy();
      this.#undo = new Y.UndoManager(document, {
        trackedOrigins: new AnyOrigin(),
        // Invariant 1.
        captureTransaction: ({ local, changed }) =>
          local && [...changed.keys()].some((type) => type !== document.share.get(ABOUT)),
        captureTimeout: 500,
      });
    }
    return document;
  }

  /** The map `name`. Throws `LocalProtocolError`: it is of another kind in this session. So do the others. */
  map<T = Json>(name: string): Y.Map<T> {
    return this.#root(name, 1, (document) => document.getMap<T>(name));
  }

  /** The list `name`. */
  list<T = Json>(name: string): Y.Array<T> {
    return this.#root(name, 0, (document) => document.getArray<T>(name));
  }

  /** The text `name`. */
  text(name: string): Y.Text {
    return this.#root(name, 2, (document) => document.getText(name));
  }

  /** The XML fragment `name`, which rich-text editors work on. */
  fragment(name: string): Y.XmlFragment {
    return this.#root(name, 4, (document) => document.getXmlFragment(name));
  }

  /** Everything that has, or had, content, as plain values. */
  json(): { [name: string]: Json } {
    const found: { [name: string]: Json } = {};
    for (const [name, root] of [...this.document.share].sort(([a], [b]) => (a < b ? -1 : 1))) {
      if (hasContent(root)) found[name] = jsonOf(root);
    }
    return found;
  }

  /** Undo this tab's last edits, those within half a second as one; returns whether there were any. */
  undo(): boolean {
    return this.#manager().undo() !== null;
  }

  /** Redo what `undo` undid; returns whether there was anything. */
  redo(): boolean {
    return this.#manager().redo() !== null;
  }

  /** Whether `undo` and `redo` would do anything. */
  get can(): { readonly undo: boolean; readonly redo: boolean } {
    return { undo: this.#manager().canUndo(), redo: this.#manager().canRedo() };
  }

  close(): void {
    this.#undo?.destroy();
    this.#undo = null;
  }

  #manager(): Y.UndoManager {
    void this.document;
    return this.#undo!;
  }

  #root<T>(name: string, kind: number, get: (document: Y.Doc) => T): T {
    const bytes = new TextEncoder().encode(name).length;
    if (bytes === 0 || bytes > NAME_BYTES_MAX) throw new LocalProtocolError(`a name has 1 to ${NAME_BYTES_MAX} bytes`);
    if (name === "__proto__") throw new LocalProtocolError("JavaScript cannot read a key named __proto__: use another");
    checkText(name);
    const known = this.replica.roots.get(name) ?? kind;
    if (known !== kind) throw this.#otherKind(name, KINDS[known] ?? "?", kind);
    try {
      return get(this.document);
    } catch {
      // Yjs knows of what was made here and not yet sent.
      throw this.#otherKind(name, "something else", kind);
    }
  }

  #otherKind(name: string, is: string, kind: number): LocalProtocolError {
    return new LocalProtocolError(`${JSON.stringify(name)} is a ${is} in this session, not a ${KINDS[kind]}`);
  }
}

type Root = Y.Doc["share"] extends Map<string, infer T> ? T : never;

/** A root as plain values; of one that came while the session is open, and has no kind here yet, as its content says. */
function jsonOf(root: Root): Json {
  const hasKind: boolean = root.constructor !== Y.AbstractType;
  if (hasKind) return root.toJSON() as Json;
  if (root._start === null) {
    const present = [...root._map].filter(([, item]) => !item.deleted);
    return Object.fromEntries(present.map(([key, item]) => [key, plain(item.content.getContent()[item.length - 1])]));
  }
  const values: Json[] = [];
  let isText = true;
  for (let item: Y.Item | null = root._start; item !== null; item = item.right) {
    const { content } = item;
    isText &&= content instanceof Y.ContentString || content instanceof Y.ContentFormat || item.deleted;
    if (!item.deleted && item.countable) values.push(...content.getContent().map(plain));
  }
  return isText ? values.join("") : values;
}

function plain(value: unknown): Json {
  return (value instanceof Y.AbstractType ? value.toJSON() : value) as Json;
}

function hasContent(root: Root): boolean {
  return root._map.size > 0 || root._start !== null;
}
