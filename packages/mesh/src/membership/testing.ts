import type { Clock, DetectorOptions, Message, PeerId, Rng, ViewEvent } from '@shoal/scheduler'
import { hashesUnderWay } from '../chunks/hash-threads.ts'
import { createInvite, type RoomInvites } from '../invite.ts'
import { openRoom, type ReplicaFactory, type RoomOptions } from '../room.ts'
import type { Refusal, Room } from '../room.types.ts'
import { type ChaosTransport, createChaosTransport } from '../transport/chaos.ts'
import { createMemoryNetwork, type MemoryNetwork } from '../transport/memory.ts'
import type { Identity } from './crypto.ts'

/** Time that only moves when a test says so. WebCrypto stays real: `settle` waits for it. */
export interface TestClock extends Clock {
  /** Runs everything that is due now, until nothing is left to do. */
  settle(): Promise<void>
  /** Moves time on in small steps, with everything that is due at each. */
  advance(ms: number): Promise<void>
  /** Moves time on until `isDone`; gives the time that it took. Throws after `maxMs`. */
  until(isDone: () => boolean, maxMs?: number): Promise<number>
}

const stepMs = 25

export function createTestClock(): TestClock {
  const timers = new Set<{ readonly at: number; readonly callback: () => void }>()
  let deferred: (() => void)[] = []
  let now = 1_000
  const cryptoCalls = countCryptoCalls()

  function runDue(): boolean {
    const turn = deferred
    deferred = []
    for (const callback of turn) callback()
    const due = [...timers].filter((timer) => timer.at <= now).sort((left, right) => left.at - right.at)
    for (const timer of due) if (timers.delete(timer)) timer.callback()
    return turn.length + due.length > 0
  }

  const clock: TestClock = {
    now: () => now,
    setTimer(at, callback) {
      const timer = { at, callback }
      timers.add(timer)
      return () => void timers.delete(timer)
    },
    defer: (callback) => void deferred.push(callback),
    async settle() {
      for (let quiet = 0; quiet < 4; quiet++) {
        if (runDue() || cryptoCalls() > 0 || hashesUnderWay() > 0) quiet = 0
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
    async advance(ms) {
      const end = now + ms
      await clock.settle()
      while (now < end) {
        now = Math.min(end, now + stepMs)
        await clock.settle()
      }
    },
    async until(isDone, maxMs = 30_000) {
      const from = now
      await clock.settle()
      while (!isDone()) {
        if (now - from >= maxMs) throw new Error(`not done within ${maxMs} ms: ${isDone}`)
        await clock.advance(stepMs)
      }
      return now - from
    },
  }
  return clock
}

let inFlight: (() => number) | null = null

/** How many WebCrypto calls are under way. */
function countCryptoCalls(): () => number {
  if (inFlight !== null) return inFlight
  let count = 0
  for (const name of [
    'digest',
    'sign',
    'verify',
    'importKey',
    'exportKey',
    'deriveBits',
    'generateKey',
  ] as const) {
    const original = crypto.subtle[name].bind(crypto.subtle) as (...args: unknown[]) => Promise<unknown>
    const counted = (...args: unknown[]): Promise<unknown> => {
      count++
      return original(...args).finally(() => count--)
    }
    Object.defineProperty(crypto.subtle, name, { value: counted, configurable: true })
  }
  inFlight = () => count
  return inFlight
}

export function createTestRng(seed = 1): Rng {
  let state = seed
  return {
    next() {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return state / 2 ** 32
    },
  }
}

/** A room's peer under test, with all that it was told. */
export interface TestPeer {
  readonly name: string
  readonly room: Room
  readonly self: PeerId
  readonly transport: ChaosTransport
  readonly views: ViewEvent[]
  readonly messages: { readonly from: PeerId; readonly message: Message }[]
  readonly refusals: Refusal[]
  /** Peers in the view now. */
  peers(): readonly PeerId[]
  codes(): readonly string[]
  has(type: ViewEvent['type'], peer: TestPeer): boolean
}

export interface TestWorld {
  readonly clock: TestClock
  readonly network: MemoryNetwork
  readonly invites: RoomInvites
  join(name: string, options?: JoinOptions): Promise<TestPeer>
  /** Waits until everybody given sees everybody else given. */
  meet(...peers: readonly TestPeer[]): Promise<void>
}

export interface JoinOptions extends Pick<RoomOptions, 'openChunkDisk' | 'chunkMemoryBytesMax'> {
  readonly role?: 'member' | 'contributor'
  readonly identity?: Identity
  readonly epoch?: number
  readonly invites?: RoomInvites
  readonly detector?: Partial<DetectorOptions>
  readonly createReplica?: ReplicaFactory
  /** Puts something between the room and the transport. */
  readonly wrap?: (transport: ChaosTransport) => ChaosTransport
}

export async function createTestWorld(): Promise<TestWorld> {
  const clock = createTestClock()
  const network = createMemoryNetwork({ clock, rng: createTestRng() })
  const invites = await createInvite({ url: 'http://127.0.0.1:1', room: 'testing' })
  return {
    clock,
    network,
    invites,
    async join(name, options = {}) {
      const chaos = createChaosTransport(network.join(name), { clock, rng: createTestRng(2) })
      const transport = options.wrap?.(chaos) ?? chaos
      const room = await openRoom({
        invite: (options.invites ?? invites)[options.role ?? 'member'],
        transport,
        clock,
        ...(options.openChunkDisk && { openChunkDisk: options.openChunkDisk }),
        ...(options.chunkMemoryBytesMax && { chunkMemoryBytesMax: options.chunkMemoryBytesMax }),
        ...(options.identity && { identity: options.identity }),
        ...(options.epoch !== undefined && { epoch: options.epoch }),
        ...(options.detector && { detector: options.detector }),
        ...(options.createReplica && { createReplica: options.createReplica }),
      })
      return listen(name, room, transport)
    },
    async meet(...peers) {
      await clock.until(() =>
        peers.every((one) => peers.every((two) => one === two || one.peers().includes(two.self))),
      )
    },
  }
}

function listen(name: string, room: Room, transport: ChaosTransport): TestPeer {
  const views: ViewEvent[] = []
  const messages: { readonly from: PeerId; readonly message: Message }[] = []
  const refusals: Refusal[] = []
  const present = new Set<PeerId>()
  room.network.onView((event) => {
    views.push(event)
    if (event.type === 'peer-joined') present.add(event.peer)
    if (event.type === 'peer-left') present.delete(event.peer)
  })
  room.network.onMessage((from, message) => void messages.push({ from, message }))
  room.onRefused((refusal) => void refusals.push(refusal))
  return {
    name,
    room,
    self: room.self,
    transport,
    views,
    messages,
    refusals,
    peers: () => [...present],
    codes: () => refusals.map((refusal) => refusal.code),
    has: (type, peer) => views.some((event) => event.type === type && event.peer === peer.self),
  }
}
