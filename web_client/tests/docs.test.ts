/** The guide, docs/browser.md, and the package's page: snippets compile against the library, and links lead somewhere. */

import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const GUIDE = readFileSync(new URL("../../docs/browser.md", import.meta.url), "utf8");
const README = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const ROOT = new URL("..", import.meta.url).pathname;
/** Under `node_modules`, where packages are found from, and git does not look. */
const PLACE = `${ROOT}node_modules/.snippets`;

/** What the page says is there, of a build's way to name a worker, and of React, which is not installed, what its types say of the hooks in question. */
const AROUND = `
declare const client: import("syncd-client").Client;
declare const session: import("syncd-client").Session;
declare module "syncd-client/search/worker?worker&url" {
  const url: string;
  export default url;
}
declare module "react" {
  type Dispatch<A> = (value: A) => void;
  type SetStateAction<S> = S | ((prevState: S) => S);
  export function useState<S>(initialState: S | (() => S)): [S, Dispatch<SetStateAction<S>>];
  export function useState<S = undefined>(): [S | undefined, Dispatch<SetStateAction<S | undefined>>];
  export function useEffect(effect: () => void | (() => void), deps?: readonly unknown[]): void;
  export function useMemo<T>(factory: () => T, deps: readonly unknown[]): T;
  export function useSyncExternalStore<Snapshot>(
    subscribe: (onStoreChange: () => void) => () => void,
    getSnapshot: () => Snapshot,
    getServerSnapshot?: () => Snapshot,
  ): Snapshot;
}
`;

function snippets(page: string): { name: string; text: string }[] {
  return [...page.matchAll(/^```(tsx?)\n(.*?)^```$/gms)].map(([, kind, text], at) => ({
    name: `snippet_${at}.${kind}`,
    text: `${text}\nexport {};\n`,
  }));
}

async function compile(page: string): Promise<{ count: number; output: string }> {
  rmSync(PLACE, { recursive: true, force: true });
  mkdirSync(PLACE, { recursive: true });
  const files = snippets(page);
  for (const { name, text } of files) writeFileSync(`${PLACE}/${name}`, text);
  writeFileSync(`${PLACE}/around.d.ts`, AROUND);
  const paths = {
    "syncd-client": [`${ROOT}src/index.ts`],
    "syncd-client/core": [`${ROOT}src/core/index.ts`],
    "syncd-client/hooks": [`${ROOT}src/hooks.ts`],
    "syncd-client/search": [`${ROOT}src/search/index.ts`],
  };
  const compilerOptions = { paths, noUnusedLocals: false, noUnusedParameters: false };
  const project = {
    extends: `${ROOT}tsconfig.json`,
    compilerOptions,
    include: [],
    files: ["around.d.ts", ...files.map(({ name }) => name)],
  };
  writeFileSync(`${PLACE}/tsconfig.json`, JSON.stringify(project));
  try {
    await promisify(execFile)(`${ROOT}node_modules/.bin/tsc`, ["-p", PLACE, "--pretty", "false"]);
    return { count: files.length, output: "" };
  } catch (error) {
    return { count: files.length, output: (error as { stdout: string }).stdout };
  } finally {
    rmSync(PLACE, { recursive: true, force: true });
  }
}

describe("docs/browser.md", () => {
  it("has snippets that compile", { timeout: 60_000 }, async () => {
    const { count, output } = await compile(GUIDE);
    expect(output).toBe("");
    expect(count).toBeGreaterThan(15);
  });

  it("would not with a name that is not there", { timeout: 60_000 }, async () => {
    const { output } = await compile(GUIDE.replaceAll("session.markRead()", "session.markAsRead()"));
    expect(output).toContain("markAsRead");
  });

  it("links to its own headings", () => {
    const headings = [...GUIDE.matchAll(/^## (.*)$/gm)].map(([, title]) => title!.toLowerCase().replaceAll(" ", "-"));
    const links = [...GUIDE.matchAll(/\]\(#([^)]*)\)/g)].map(([, link]) => link!);
    expect(links.filter((link) => !headings.includes(link))).toEqual([]);
    expect(headings.filter((heading) => !links.includes(heading))).toEqual([]);
  });
});

describe("README.md", () => {
  it("has snippets that compile, and links to pages that are there", { timeout: 60_000 }, async () => {
    const { count, output } = await compile(README);
    expect(output).toBe("");
    expect(count).toBeGreaterThan(1);
    for (const [, path] of README.matchAll(/\]\((\.[^)#]*)/g)) expect(existsSync(`${ROOT}${path}`), path).toBe(true);
  });
});
