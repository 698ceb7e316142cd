/** What vite says of the build. */

interface ImportMeta {
  readonly env: { readonly DEV: boolean };
}
