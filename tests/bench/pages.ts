import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { fileURLToPath } from 'node:url'
import { hostRoom } from '@shoal/sdk/node'
import { type Browser, chromium, type Page } from 'playwright'
import { findChromium } from '../../scripts/setup.mjs'
import type { Selection } from './arguments.ts'
import { startLender } from './lenders.ts'
import type { PageApi } from './page.ts'
import type { RemoteId } from './remote-benches.ts'
import { type Row, rowOf } from './stats.ts'

const flags = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection',
  '--disable-renderer-backgrounding',
  '--disable-background-timer-throttling',
  '--js-flags=--expose-gc',
]

/** Serves the bundles to pages that may share memory and have precise clocks. */
async function serve(): Promise<Server> {
  const server = createServer(async (request, response) => {
    response.setHeader('cross-origin-opener-policy', 'same-origin')
    response.setHeader('cross-origin-embedder-policy', 'require-corp')
    const name = (request.url ?? '/').slice(1).replace(/\?.*/, '')
    try {
      const isPage = name === '' || !/^[\w.-]+$/.test(name)
      const body = isPage
        ? '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>'
        : await readFile(fileURLToPath(new URL(`./page/${name}`, import.meta.url)))
      response.setHeader('content-type', isPage ? 'text/html' : 'text/javascript')
      response.end(body)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

interface Pages {
  /** A page in a browser process of its own. */
  open(): Promise<Page>
  readonly version: () => string
}

/** Starts what pages need, and ends all of it. */
async function withPages<T>(work: (pages: Pages) => Promise<T>, more: readonly string[] = []): Promise<T> {
  const server = await serve()
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const browsers: Browser[] = []
  const executablePath = findChromium()
  try {
    return await work({
      version: () => `Chromium ${browsers[0]?.version() ?? ''}`,
      async open() {
        const browser = await chromium.launch({
          args: [...flags, ...more],
          ...(executablePath === null ? {} : { executablePath }),
        })
        browsers.push(browser)
        const context = await browser.newContext({ permissions: ['camera', 'microphone'] })
        const page = await context.newPage()
        page.on('pageerror', (error) => console.error('In the page:', error))
        await page.goto(`http://127.0.0.1:${port}/`)
        await page.waitForFunction(() => 'bench' in globalThis)
        return page
      },
    })
  } finally {
    await Promise.all(browsers.map((browser) => browser.close()))
    server.close()
  }
}

type Call = <K extends keyof PageApi>(
  name: K,
  ...args: Parameters<PageApi[K]>
) => Promise<Awaited<ReturnType<PageApi[K]>>>

/** Calls the page's own functions. */
function callIn(page: Page): Call {
  return (name, ...args) =>
    page.evaluate(
      ([key, given]) => {
        const { bench } = globalThis as unknown as { bench: Record<string, (...args: unknown[]) => unknown> }
        return bench[key]?.(...given) as never
      },
      [name, args] as const,
    )
}

/** In a browser with WebGPU, by software where there is no GPU. */
export function benchKernels({ pairs }: Selection): Promise<Row[]> {
  return withPages(async (pages) => callIn(await pages.open())('kernels', pairs), ['--enable-unsafe-webgpu'])
}

export function benchPage(id: 'B1' | 'B1b' | 'B2' | 'B4', { pairs, isQuick }: Selection): Promise<Row[]> {
  return withPages(async (pages) => callIn(await pages.open())('local', id, { pairs, isQuick }))
}

/** Two browser processes. */
export function benchRtc(
  id: RemoteId,
  role: 'contributor' | 'member',
  { pairs, isQuick, sizesMiB }: Selection,
): Promise<Row[]> {
  return withPages(async (pages) => {
    const host = await hostRoom({ page: false })
    try {
      const page = await pages.open()
      const [here, there] = [callIn(page), callIn(await pages.open())]
      await page.exposeFunction('benchService', (name: string, durability: string) =>
        there('service', name, durability),
      )
      await there('join', role === 'member' ? host.memberInvite : host.contributorInvite, 2)
      await here('join', host.memberInvite, 0)
      await here('accept', await there('answer', await here('offer')))
      return await here('remote', id, `lender is ${role}`, { pairs, isQuick, sizesMiB })
    } finally {
      await host.close()
    }
  })
}

/** A page that has loaded joins a room with one lending process. */
export function benchFirstRemote({ pairs, isQuick }: Selection): Promise<Row[]> {
  return withPages(async (pages) => {
    const host = await hostRoom({ page: false })
    const lender = await startLender(host.contributorInvite, 1)
    const page = await pages.open()
    const times: number[] = []
    try {
      for (let repetition = -1; repetition < (isQuick ? 3 : Math.min(7, pairs)); repetition++) {
        await page.reload()
        await page.waitForFunction(() => 'bench' in globalThis)
        const ms = await callIn(page)('firstRemote', host.memberInvite)
        if (repetition >= 0) times.push(ms)
      }
      const label = {
        bench: 'B8',
        place: 'page',
        metric: 'page-first-remote',
        unit: 'ms',
        note: pages.version(),
      }
      return [rowOf(label, 'shoal', times)]
    } finally {
      await lender.kill()
      await host.close()
    }
  })
}
