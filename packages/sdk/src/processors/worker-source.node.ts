import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The one function of the bundler that is used here. */
interface Bundler {
  buildSync(options: object): { readonly outputFiles: readonly { readonly text: string }[] }
}

const bundled = new Map<string, string>()

/**
 * An entry beside this file as one script, bundled from the sources: workers cannot load TypeScript,
 * and a loader in each would cost seconds. Only for this repository's own tests and tools.
 */
export function bundleEntry(path: string): string {
  const known = bundled.get(path)
  if (known !== undefined) return known
  // Not an import: users have no bundler installed, and dist never comes here.
  const { buildSync } = createRequire(import.meta.url)('esbuild') as Bundler
  const { outputFiles } = buildSync({
    entryPoints: [fileURLToPath(new URL(path, import.meta.url))],
    bundle: true,
    write: false,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    conditions: ['development'],
    logLevel: 'error',
  })
  const text = outputFiles[0]?.text ?? ''
  bundled.set(path, text)
  return text
}

/** The same as a file, for a process of its own. */
export function bundleEntryFile(path: string): string {
  const file = join(mkdtempSync(join(tmpdir(), 'shoal-')), 'entry.cjs')
  writeFileSync(file, bundleEntry(path))
  process.once('exit', () => rmSync(dirname(file), { recursive: true, force: true }))
  return file
}
