import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Browser, BrowserContext, Page } from 'playwright'
import { type HiddenTab, openHiddenTab } from './hidden-tab.ts'
import type { Order, PeerConfig, PeerEvent } from './orders.ts'

/** One start of one peer, as the run holds it. */
export interface Actor {
  readonly kind: 'node' | 'page'
  /** A name for each start: `node-2.3` is the third start of the second Node peer. */
  readonly name: string
  /** Its id, once it has joined. */
  peer: string
  address: string
  /** `up`: a fault may choose it. `hurt`: a fault is at work on it. `gone`: it is no more. */
  state: 'joining' | 'up' | 'hurt' | 'gone'
  /** Who it says is there, with the epoch of each. */
  readonly view: Map<string, number>
  /** Resolves when it has joined; rejects when it ended before. */
  readonly joined: Promise<void>
  order(order: Order): void
  /** No goodbye: SIGKILL, or the page closed. */
  kill(): Promise<void>
}

export interface NodeActor extends Actor {
  readonly kind: 'node'
  signal(signal: NodeJS.Signals): void
}

export interface PageActor extends Actor {
  readonly kind: 'page'
  readonly page: Page
  /** The renderer dies. */
  crash(): Promise<void>
}

export interface Stage {
  /** Hears everything that any peer tells. */
  onEvent(actor: Actor, event: PeerEvent): void
}

function createBase(kind: Actor['kind'], name: string) {
  let resolve = (): void => {}
  let reject = (_error: Error): void => {}
  const promise = new Promise<void>((done, failed) => {
    resolve = done
    reject = failed
  })
  // Whoever waits for it gets the rejection.
  promise.catch(() => undefined)
  const joined = { promise, resolve, reject }
  return {
    kind,
    name,
    peer: '',
    address: '',
    state: 'joining' as Actor['state'],
    view: new Map<string, number>(),
    joined,
  }
}

function takeIn(stage: Stage, actor: Actor, event: PeerEvent, resolve: () => void): void {
  if (event.type === 'joined') {
    actor.peer = event.peer
    actor.address = event.address
    if (actor.state === 'joining') actor.state = 'up'
  } else if (event.type === 'seen') actor.view.set(event.peer, event.epoch)
  else if (event.type === 'gone') actor.view.delete(event.peer)
  stage.onEvent(actor, event)
  if (event.type === 'joined') resolve()
}

/** The last line of a process that was killed may be torn. */
function eventOf(line: string): PeerEvent | null {
  try {
    return JSON.parse(line) as PeerEvent
  } catch {
    return null
  }
}

export interface HiddenActor extends Actor {
  readonly tab: HiddenTab
}

/** A page behind another one. */
export async function startHiddenActor(stage: Stage, url: string, config: PeerConfig): Promise<HiddenActor> {
  const base = createBase('page', config.name)
  const { joined } = base
  const script = `globalThis.chaosConfig = ${JSON.stringify(config)}
globalThis.chaosTell = (event) => chaosTellText(JSON.stringify(event))`
  const tab = await openHiddenTab(url, script, (text) => {
    takeIn(stage, actor, JSON.parse(text) as PeerEvent, joined.resolve)
  })
  const actor: HiddenActor = Object.assign(base, {
    tab,
    joined: joined.promise,
    order: (order: Order) => void tab.evaluate(`chaosOrder(${JSON.stringify(order)})`),
    async kill() {
      actor.state = 'gone'
      await tab.close()
    },
  })
  return actor
}

/** A peer in a process of its own. */
export function startNodeActor(
  stage: Stage,
  program: string,
  config: PeerConfig,
  onExit: (actor: NodeActor) => void,
): NodeActor {
  const base = createBase('node', config.name)
  const { joined } = base
  // A small heap, which workers inherit: what fills one is stopped soon.
  const flags = ['--max-old-space-size=192', '--enable-source-maps']
  const child: ChildProcess = spawn(process.execPath, [...flags, program, JSON.stringify(config)], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let complaints = ''
  child.stderr?.on('data', (data) => {
    complaints += data
  })
  child.stdin?.on('error', () => undefined)
  const exited = once(child, 'exit')
  const actor: NodeActor = Object.assign(base, {
    kind: 'node' as const,
    joined: joined.promise,
    order: (order: Order) => void child.stdin?.write(`${JSON.stringify(order)}\n`),
    signal: (signal: NodeJS.Signals) => void child.kill(signal),
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
  })
  void exited.then(() => {
    actor.state = 'gone'
    joined.reject(new Error(`Cannot go on with ${config.name} as it ended: ${complaints}`))
    if (complaints !== '')
      stage.onEvent(actor, { type: 'error', at: Date.now(), message: complaints.slice(0, 2000) })
    onExit(actor)
  })
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const event = eventOf(line)
      if (event !== null) takeIn(stage, actor, event, joined.resolve)
    })
  }
  return actor
}

/** A page in a context of its own, as another person's browser would be; `context` when it is one that reloads. */
export async function startPageActor(
  stage: Stage,
  browser: Browser,
  url: string,
  config: PeerConfig,
): Promise<PageActor> {
  // No camera or microphone is opened: a page with these permissions gets loopback candidates.
  const context: BrowserContext = await browser.newContext({ permissions: ['camera', 'microphone'] })
  const page = await context.newPage()
  const base = createBase('page', config.name)
  const { joined } = base
  const actor: PageActor = Object.assign(base, {
    kind: 'page' as const,
    page,
    joined: joined.promise,
    order(order: Order) {
      // A page that is gone or busy does not answer: that is what is tested.
      page
        .evaluate((order) => {
          const told = globalThis as typeof globalThis & { chaosOrder?: (order: unknown) => void }
          told.chaosOrder?.(order)
        }, order)
        .catch(() => undefined)
    },
    async kill() {
      actor.state = 'gone'
      await context.close()
    },
    async crash() {
      actor.state = 'gone'
      const crashed = page.waitForEvent('crash', { timeout: 10_000 }).catch(() => null)
      const session = await context.newCDPSession(page)
      session.send('Page.crash').catch(() => undefined)
      await crashed
    },
  })
  const complain = (message: string): void => stage.onEvent(actor, { type: 'error', at: Date.now(), message })
  page.on('pageerror', (error) => complain(error.stack ?? error.message))
  page.on('console', (message) => {
    // Signalling goes away on purpose: the browser itself says so.
    const isOurs = !/WebSocket|Failed to load resource/.test(message.text())
    if (message.type() === 'error' && isOurs) complain(message.text())
  })
  await page.exposeFunction('chaosTell', (event: PeerEvent) => takeIn(stage, actor, event, joined.resolve))
  await page.addInitScript((config) => {
    ;(globalThis as typeof globalThis & { chaosConfig?: unknown }).chaosConfig = config
  }, config)
  await page.goto(url)
  return actor
}
