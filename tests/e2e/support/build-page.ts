import { fileURLToPath } from 'node:url'
import { build } from 'vite'

const demo = fileURLToPath(new URL('../../../apps/demo', import.meta.url))

/** Vitest's global set-up: these tests drive the page as it ships, so it is built before them. */
export async function setup(): Promise<void> {
  await build({ root: demo, configFile: `${demo}/vite.config.ts`, logLevel: 'error' })
}
