import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = fileURLToPath(new URL('.', import.meta.url))
const processors = join(here, '../../packages/sdk/src/processors')
const out = join(here, '../node_modules/.cache/chaos')

/** The programs of the peers, bundled: starting one costs little, which a run does a hundred times. */
export interface Programs {
  /** A script for Node. */
  readonly node: string
  /** A folder with `peer.page.js` and the script of its workers. */
  readonly page: string
}

/** Bundles the sources as a user's bundler would. */
export async function buildPrograms(): Promise<Programs> {
  const shared = {
    bundle: true,
    format: 'esm',
    target: 'es2023',
    logLevel: 'error',
  } as const
  const node = join(out, 'node')
  const page = join(out, 'page')
  mkdirSync(node, { recursive: true })
  writeFileSync(join(node, 'package.json'), '{ "type": "module" }')
  await Promise.all([
    build({
      ...shared,
      outdir: node,
      platform: 'node',
      conditions: ['development'],
      external: ['node-datachannel', 'msgpackr-extract', 'esbuild'],
      // Packages in CommonJS ask for Node's own modules.
      banner: {
        js: "import { createRequire as chaosRequire } from 'node:module'; const require = chaosRequire(import.meta.url);",
      },
      entryPoints: {
        'peer.node': join(here, 'peer.node.ts'),
        'worker-entry.node': join(processors, 'worker-entry.node.ts'),
      },
    }),
    build({
      ...shared,
      outdir: page,
      platform: 'browser',
      conditions: ['development'],
      entryPoints: {
        'peer.page': join(here, 'peer.page.ts'),
        'worker-entry.browser': join(processors, 'worker-entry.browser.ts'),
      },
    }),
  ])
  return { node: join(node, 'peer.node.js'), page }
}
