import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

/** The one function of the bundler that is used here. */
interface Bundler {
  buildSync(options: object): { readonly outputFiles: readonly { readonly text: string }[] }
}

let bundled: string | null = null

/**
 * The entry of a worker thread as one script, bundled from the sources: workers cannot load TypeScript,
 * and a loader in each would cost seconds. Only for this repository's own tests and tools.
 */
export function bundleWorkerEntry(): string {
  if (bundled !== null) return bundled
  // Not an import: users have no bundler installed, and dist never comes here.
  const { buildSync } = createRequire(import.meta.url)('esbuild') as Bundler
  const { outputFiles } = buildSync({
    entryPoints: [fileURLToPath(new URL('./worker-entry.node.ts', import.meta.url))],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    conditions: ['development'],
    logLevel: 'error',
  })
  bundled = outputFiles[0]?.text ?? ''
  return bundled
}
