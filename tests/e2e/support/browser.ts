import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright'
import { findChromium } from '../../../scripts/setup.mjs'

/**
 * A name that leads to this machine but that browsers do not trust, as a phone sees a room on the local
 * network: there is no WebCrypto on such pages.
 */
export const plainHost = 'room.test'

/** Software WebGPU, the same on every machine. */
export const gpuFlags: readonly string[] = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader']

/** A browser whose pages find each other over the loopback interface alone. */
export function launchBrowser(flags: readonly string[] = []): Promise<Browser> {
  const executablePath = findChromium()
  return chromium.launch({
    ...(executablePath === null ? {} : { executablePath }),
    args: [
      '--no-sandbox',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--allow-loopback-in-peer-connection',
      `--host-resolver-rules=MAP ${plainHost} 127.0.0.1`,
      ...flags,
    ],
  })
}

/** A page of its own context, as a person's own browser would be, with everything that broke in it. */
export interface WatchedPage {
  readonly page: Page
  /** Uncaught errors and console errors, as text. */
  readonly errors: readonly string[]
}

export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  // No camera or microphone is opened: a page with these permissions gets loopback candidates.
  const context = await browser.newContext({ permissions: ['camera', 'microphone'], ...options })
  const page = await context.newPage()
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(error.stack ?? error.message))
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text())
  })
  await page.goto(url)
  return { page, errors }
}
