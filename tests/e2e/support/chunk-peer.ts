import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import type { Browser } from 'playwright'
import type { ProcessOrder } from '../../fixtures/chunk-peer.ts'
import type { Memory } from '../../fixtures/memory-watch.ts'
import type { Answer, Order, RefText } from '../../support/chunk-orders.ts'
import { type Program, startNode, typescript } from '../../support/program.ts'
import { openPage } from './browser.ts'
import { type FileServer, serveFiles } from './serve-files.ts'

const fixtures = fileURLToPath(new URL('../../fixtures', import.meta.url))
const out = fileURLToPath(new URL('../../node_modules/.cache/chunks', import.meta.url))

/** A peer somewhere else that keeps and fetches chunks. */
export interface ChunkPeer {
  readonly id: string
  put(sizeBytes: number, seed: number): Promise<RefText>
  /** Throws the code of what went wrong. */
  obey(order: Order): Promise<Answer>
  /** Resolves when it sees the other one. */
  meets(peer: string): Promise<void>
  /** Ends it as a power cut would: no goodbye. */
  kill(): Promise<void>
}

export interface ChunkProcess extends ChunkPeer {
  /** Begins to watch over the memory of the process. */
  watch(): Promise<void>
  memory(): Promise<Memory>
}

/** @param memoryMiB of chunks in its memory; the rest goes to its disk */
export async function startChunkProcess(invite: string, memoryMiB: number): Promise<ChunkProcess> {
  const flags = ['--expose-gc', ...typescript]
  const program: Program = startNode([join(fixtures, 'chunk-peer.ts'), invite, String(memoryMiB)], {}, flags)
  const { peer } = JSON.parse(await program.line(/"joined"/)) as { readonly peer: string }
  let orders = 0
  async function say(order: ProcessOrder): Promise<unknown> {
    const no = ++orders
    program.child.stdin?.write(`${JSON.stringify({ no, order })}\n`)
    const answer = JSON.parse(await program.line(new RegExp(`"no":${no}\\b`))) as { readonly failed?: string }
    if (answer.failed !== undefined) throw new Error(answer.failed)
    return answer
  }
  const obey = (order: Order): Promise<Answer> => say(order) as Promise<Answer>
  return {
    id: peer,
    obey,
    put: (sizeBytes, seed) => putAt(obey, sizeBytes, seed),
    async meets(other) {
      await program.line(new RegExp(`"peer-joined","peer":"${other}"`))
    },
    async kill() {
      await program.stop('SIGKILL')
    },
    async watch() {
      await say({ type: 'watch' })
    },
    memory: () => say({ type: 'memory' }) as Promise<Memory>,
  }
}

/** Bundles the page and serves it. */
export async function serveChunkPage(): Promise<FileServer> {
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, 'index.html'), '<!doctype html><script type="module" src="/page.js"></script>')
  await build({
    bundle: true,
    format: 'esm',
    target: 'es2023',
    logLevel: 'error',
    platform: 'browser',
    conditions: ['development'],
    entryPoints: [join(fixtures, 'chunk-page.ts')],
    outfile: join(out, 'page.js'),
  })
  return serveFiles({ '/': join(out, 'index.html'), '/page.js': join(out, 'page.js') })
}

/** @param memoryMiB of chunks in its memory; the rest goes to IndexedDB */
export async function openChunkPage(
  browser: Browser,
  url: string,
  invite: string,
  memoryMiB: number,
): Promise<ChunkPeer> {
  const { page } = await openPage(browser, url)
  const join = [invite, memoryMiB] as const
  await page.waitForFunction(() => 'joinAsChunkPage' in globalThis)
  const id = await page.evaluate((parts) => globalThis.joinAsChunkPage(...parts), join)
  const obey = (order: Order): Promise<Answer> =>
    page.evaluate((given) => globalThis.chunkPage.obey(given), order)
  return {
    id,
    obey,
    put: (sizeBytes, seed) => putAt(obey, sizeBytes, seed),
    async meets(other) {
      await page.waitForFunction((peer) => globalThis.chunkPage.seen.includes(peer), other)
    },
    kill: () => page.close({ runBeforeUnload: false }),
  }
}

async function putAt(obey: ChunkPeer['obey'], sizeBytes: number, seed: number): Promise<RefText> {
  return (await obey({ type: 'put', sizeBytes, seed })).ref as RefText
}
