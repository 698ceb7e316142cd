/** What vite says of the build. */

interface ImportMeta {
  readonly env: { readonly DEV: boolean };
}

/** The address of a script that is built as a worker of its own. */
declare module "*?worker&url" {
  const url: string;
  export default url;
}

declare module "*.css?url" {
  const path: string;
  export default path;
}
