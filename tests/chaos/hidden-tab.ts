import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex, Readable, Writable } from 'node:stream'
import { findChromium } from '../../scripts/setup.mjs'

/** A tab that another one hides, in a browser that slows hidden tabs down as a person's does. */
export interface HiddenTab {
  /** Runs an expression in the hidden tab, awaits it, and gives its value. */
  evaluate(expression: string): Promise<unknown>
  close(): Promise<void>
}

interface Reply {
  readonly id?: number
  readonly sessionId?: string
  readonly method?: string
  readonly params?: { readonly name: string; readonly payload: string }
  readonly result?: Record<string, unknown>
  readonly error?: { readonly message: string }
}

/**
 * Opens `url` and a second tab in front of it. Tools for tests emulate focus and switch throttling off, so the
 * browser is driven through its own protocol, over a pipe.
 * @param script runs in the page before its own scripts; what it passes to `chaosTellText` comes to `onText`
 */
export async function openHiddenTab(
  url: string,
  script: string,
  onText: (text: string) => void,
): Promise<HiddenTab> {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-hidden-'))
  const child = spawn(
    findChromium() ?? 'chromium',
    [
      '--headless=new',
      '--no-sandbox',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--allow-loopback-in-peer-connection',
      '--remote-debugging-pipe',
      `--user-data-dir=${folder}`,
    ],
    { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
  )
  const exited = once(child, 'exit')
  const send = createProtocol(child.stdio[3] as Duplex, child.stdio[4] as Duplex, onText)
  const close = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
    // Its helpers may write for a moment longer.
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
  try {
    const { origin } = new URL(url)
    await send('Browser.grantPermissions', { origin, permissions: ['audioCapture', 'videoCapture'] })
    const { targetId } = await send('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true })
    const session = sessionId as string
    await send('Runtime.enable', {}, session)
    await send('Runtime.addBinding', { name: 'chaosTellText' }, session)
    await send('Page.enable', {}, session)
    await send('Page.addScriptToEvaluateOnNewDocument', { source: script }, session)
    await send('Page.navigate', { url }, session)
    const front = await send('Target.createTarget', { url: 'about:blank' })
    await send('Target.activateTarget', { targetId: front['targetId'] })
    return {
      close,
      async evaluate(expression) {
        const options = { expression, awaitPromise: true, returnByValue: true }
        const { result } = await send('Runtime.evaluate', options, session)
        return (result as { readonly value?: unknown }).value
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Calls the browser; messages are JSON, each with a zero byte after it. */
function createProtocol(output: Writable, input: Readable, onText: (text: string) => void) {
  const waiting = new Map<number, (reply: Reply) => void>()
  let nextId = 1
  let rest = ''
  input.setEncoding('utf8')
  input.on('data', (data: string) => {
    const parts = (rest + data).split('\0')
    rest = parts.pop() ?? ''
    for (const part of parts) {
      const reply = JSON.parse(part) as Reply
      if (reply.id !== undefined) waiting.get(reply.id)?.(reply)
      else if (reply.method === 'Runtime.bindingCalled') onText(reply.params?.payload ?? '')
    }
  })
  return (method: string, params: object, sessionId?: string): Promise<Record<string, unknown>> =>
    new Promise((resolve, reject) => {
      const id = nextId++
      waiting.set(id, ({ result, error }) => {
        waiting.delete(id)
        if (error === undefined) resolve(result ?? {})
        else reject(new Error(`${method}: ${error.message}`))
      })
      const session = sessionId === undefined ? {} : { sessionId }
      output.write(`${JSON.stringify({ id, method, params, ...session })}\0`)
    })
}
