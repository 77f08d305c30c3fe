import { fileURLToPath } from 'node:url'
import { build } from 'vite'
import { runTool } from '../../../scripts/setup.mjs'

const demo = fileURLToPath(new URL('../../../apps/demo', import.meta.url))

/** Vitest's global set-up: these tests drive programs and the page as they ship, so both are built before them. */
export async function setup(): Promise<void> {
  const { code } = await runTool('tsc', ['-b', 'packages/sdk'])
  if (code !== 0) throw new Error('Cannot run the tests as the packages do not build: tsc says why above')
  await build({ root: demo, configFile: `${demo}/vite.config.ts`, logLevel: 'error' })
}
