import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hostRoom, type RoomHost } from '@shoal/sdk/node'
import type { Browser } from 'playwright'
import { launchBrowser } from '../e2e/support/browser.ts'
import { hostOnOwnPort } from '../support/own-port.ts'
import {
  type Actor,
  type HiddenActor,
  type NodeActor,
  type PageActor,
  startHiddenActor,
  startNodeActor,
  startPageActor,
} from './actors.ts'
import { buildPrograms, type Programs } from './build.ts'
import { createHistory, type History } from './history.ts'
import type { PeerConfig, PeerEvent } from './orders.ts'
import { createSettled } from './settled.ts'

/** Longest wait for a start to get into the room, on a busy machine. */
const joinMs = 60_000

/** The room, everybody in it, and whoever watches. */
export interface World {
  /** For members. */
  readonly invite: string
  readonly history: History
  readonly actors: readonly Actor[]
  /** Milliseconds since the start of the run, for people. */
  clock(): string
  log(line: string): void
  startNode(seat: number, isFresh: boolean): Promise<NodeActor>
  startPage(seat: number): Promise<PageActor>
  /** A page in a tab behind another one, of a browser of its own. */
  startHiddenPage(seat: number): Promise<HiddenActor>
  /** Signalling goes away; the result brings it back. */
  stopSignalling(): Promise<() => Promise<void>>
  /** Resolves when everybody who is up sees `actor`, and it sees them; `false` when that takes too long. */
  meets(actor: Actor, timeoutMs: number): Promise<boolean>
  /** Resolves when `condition` holds after some event, `false` when it never does in time. */
  until(condition: () => boolean, timeoutMs: number): Promise<boolean>
  /** Ends everything that it started. */
  close(): Promise<void>
}

export async function openWorld(log: (line: string) => void): Promise<World> {
  const world = new RealWorld(log)
  await world.open()
  return world
}

class RealWorld implements World {
  readonly history = createHistory()
  readonly actors: Actor[] = []
  readonly #hidden: HiddenActor[] = []
  readonly #startedAt = Date.now()
  readonly #print: (line: string) => void
  readonly #folder = mkdtempSync(join(tmpdir(), 'shoal-chaos-'))
  readonly #watchers = new Set<() => void>()
  readonly #starts = new Map<string, number>()
  readonly #settled = createSettled()
  #programs: Programs = { node: '', page: '' }
  readonly #server: Server = createServer((request, response) => this.#serve(request.url ?? '/', response))
  #browser: Browser | null = null
  #host: RoomHost | null = null
  #invite = ''
  /** Resolves when signalling is back. */
  #outage: Promise<void> = Promise.resolve()
  #isOver = false

  constructor(log: (line: string) => void) {
    this.#print = log
  }

  async open(): Promise<void> {
    this.#programs = await buildPrograms()
    this.#host = await hostOnOwnPort(join(this.#folder, 'room'))
    this.#invite = this.#host.memberInvite
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    this.#browser = await launchBrowser()
  }

  get invite(): string {
    return this.#invite
  }

  clock(): string {
    return `${((Date.now() - this.#startedAt) / 1000).toFixed(1).padStart(6)} s`
  }

  log(line: string): void {
    this.#print(`${this.clock()}  ${line}`)
  }

  async startNode(seat: number, isFresh: boolean): Promise<NodeActor> {
    const name = this.#name(`node-${seat}`)
    // The folder of the seat holds who it is: who comes back to it goes on where it was.
    const storage = join(this.#folder, isFresh ? name : `node-${seat}`)
    const actor = startNodeActor(this.#stage, this.#programs.node, this.#config(name, storage), () =>
      this.#wake(),
    )
    this.actors.push(actor)
    await joinedInTime(actor)
    return actor
  }

  async startPage(seat: number): Promise<PageActor> {
    if (this.#browser === null) throw new Error('Cannot open a page as there is no browser')
    const name = this.#name(`page-${seat}`)
    const actor = await startPageActor(this.#stage, this.#browser, `${this.#url}/`, this.#config(name))
    this.actors.push(actor)
    await joinedInTime(actor)
    return actor
  }

  async startHiddenPage(seat: number): Promise<HiddenActor> {
    const name = this.#name(`hidden-${seat}`)
    const actor = await startHiddenActor(this.#stage, `${this.#url}/`, this.#config(name))
    this.actors.push(actor)
    this.#hidden.push(actor)
    await joinedInTime(actor)
    return actor
  }

  async stopSignalling(): Promise<() => Promise<void>> {
    // On a busy machine the last outage may not be over: one after the other, or both would open the port.
    const before = this.#outage
    let end = (): void => {}
    this.#outage = new Promise((resolve) => {
      end = resolve
    })
    await before
    const port = this.#host?.port ?? 0
    await this.#host?.close()
    return async () => {
      this.#host = await hostRoom({ page: false, port, dataDir: join(this.#folder, 'room') }).finally(end)
    }
  }

  meets(actor: Actor, timeoutMs: number): Promise<boolean> {
    return this.until(() => {
      const others = this.actors.filter((one) => one.state === 'up' && one !== actor)
      return others.every((one) => one.view.has(actor.peer) && actor.view.has(one.peer))
    }, timeoutMs)
  }

  until(condition: () => boolean, timeoutMs: number): Promise<boolean> {
    if (condition()) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = (isMet: boolean): void => {
        this.#watchers.delete(look)
        clearTimeout(timer)
        resolve(isMet)
      }
      const look = (): void => {
        if (condition()) end(true)
      }
      const timer = setTimeout(() => end(condition()), timeoutMs)
      this.#watchers.add(look)
    })
  }

  async close(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.actors.map((actor) => (actor.kind === 'node' ? actor.kill() : null)))
    await Promise.all(this.#hidden.map((actor) => actor.kill()))
    await this.#browser?.close()
    await this.#host?.close()
    this.#server.closeAllConnections()
    this.#server.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  get #url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  readonly #stage = {
    onEvent: (actor: Actor, event: Parameters<History['take']>[1]): void => {
      if (this.#isOver) return
      this.#settled.look(this.actors, Date.now())
      this.history.take(actor, this.#asPromised(actor, event))
      if (event.type === 'explained') this.log(`${actor.name} sees: ${event.text}`)
      if (event.type === 'error') this.log(`${actor.name} says: ${event.message}`)
      this.#wake()
    },
  }

  /** Who is out of touch with others reads what may be corrected later. */
  #asPromised(actor: Actor, event: PeerEvent): PeerEvent {
    if (event.type !== 'outcome' || event.reading !== 'last') return event
    return this.#settled.isSettled(actor, Date.now()) ? event : { ...event, reading: 'again' }
  }

  #wake(): void {
    for (const watch of [...this.#watchers]) watch()
  }

  #name(seat: string): string {
    const no = (this.#starts.get(seat) ?? 0) + 1
    this.#starts.set(seat, no)
    return `${seat}.${no}`
  }

  #config(name: string, storage?: string): PeerConfig {
    const kept = storage === undefined ? {} : { storage }
    return { invite: this.#invite, name, workers: 1, startsUrl: `${this.#url}/starts`, ...kept }
  }

  /** The page, its scripts, and the reports of bodies that begin. */
  #serve(target: string, response: ServerResponse): void {
    const url = new URL(target, 'http://page')
    if (url.pathname === '/starts') {
      const processor = url.searchParams.get('processor') ?? ''
      const task = url.searchParams.get('task') ?? ''
      this.history.starts.push({ at: Date.now(), task, peer: processor.split('/')[0] ?? '' })
      response.writeHead(204, { 'access-control-allow-origin': '*' }).end()
      this.#wake()
      return
    }
    const script = /^\/(peer\.page|worker-entry\.browser)\.js$/.exec(url.pathname)
    if (script !== null) {
      response.writeHead(200, { 'content-type': 'text/javascript' })
      response.end(readFileSync(join(this.#programs.page, `${script[1]}.js`)))
    } else if (url.pathname === '/') {
      response.writeHead(200, { 'content-type': 'text/html' })
      response.end(
        '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/peer.page.js"></script>',
      )
    } else response.writeHead(404).end()
  }
}

/** A peer that cannot join must not stop the run for ever. */
async function joinedInTime(actor: Actor): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const error = new Error(`Cannot go on with ${actor.name} as it did not join in ${joinMs} ms`)
    timer = setTimeout(() => reject(error), joinMs)
  })
  try {
    await Promise.race([actor.joined, late])
  } finally {
    clearTimeout(timer)
  }
}
