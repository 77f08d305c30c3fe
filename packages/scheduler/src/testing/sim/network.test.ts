import { expect, test } from 'vitest'
import type { Message, PeerId, ViewEvent } from '../../index.ts'
import { createGate, createLoop, type SimLoop } from './clock.ts'
import { createSimMembership } from './membership.ts'
import { createSimNetwork, type Endpoint, type SimNetwork } from './network.ts'
import { createRng } from './rng.ts'
import { perfectLinks } from './shape.ts'
import { createTrace } from './trace.ts'

interface Room {
  readonly loop: SimLoop
  readonly net: SimNetwork
  readonly ends: readonly Endpoint[]
  readonly views: readonly ViewEvent[][]
  readonly inboxes: readonly Message[][]
  run(ms: number): void
}

function room(size: number, links: Partial<typeof perfectLinks> = {}): Room {
  const loop = createLoop((error) => {
    throw error
  })
  const rng = createRng(7)
  const probe = { sent: () => {}, delivered: () => {}, lost: () => {} }
  const net = createSimNetwork(size, loop, rng, createTrace(loop.now, null), probe, {
    ...perfectLinks,
    ...links,
  })
  createSimMembership(size, loop, rng, net)
  const indices = Array.from({ length: size }, (_, index) => index)
  const views: ViewEvent[][] = indices.map(() => [])
  const inboxes: Message[][] = indices.map(() => [])
  const ends = indices.map((index) => {
    const endpoint = net.attach(index, `p${index}` as PeerId, 'member', createGate(index), 1)
    net.port(endpoint).onView((event) => views[index]?.push(event))
    net.port(endpoint).onMessage((_from, message) => inboxes[index]?.push(message))
    return endpoint
  })
  const run = (ms: number): void => {
    const untilMs = loop.now() + ms
    while (loop.nextAt() <= untilMs && loop.runNext());
  }
  run(5000)
  return { loop, net, ends, views, inboxes, run }
}

const typesOf = (events: readonly ViewEvent[] | undefined): string[] =>
  (events ?? []).map((event) => event.type)
const stale = (epoch: number): Message => ({ type: 'stale', job: 'j' as never, epoch })

test('[SIM] peers that can reach each other join', () => {
  const { views } = room(3)
  for (const view of views) expect(typesOf(view).filter((type) => type === 'peer-joined')).toHaveLength(2)
})

test('[SIM] a silent peer is suspected, then dead, and fenced: it comes back at a higher epoch', () => {
  const { net, ends, views, run } = room(2)
  net.cut(1, 0)
  run(4000)
  expect(typesOf(views[0]).slice(2)).toEqual(['peer-suspected', 'peer-left'])

  net.mend(1, 0)
  run(3000)

  expect(views[0]?.at(-2)).toMatchObject({ type: 'peer-joined', peer: 'p1', epoch: 2 })
  expect(ends[1]?.epoch).toBe(2)
})

test('[SIM] one way cut means one way lost', () => {
  const { net, ends, inboxes, run } = room(2)
  net.cut(1, 0)
  net.port(ends[0] as Endpoint).send('p1' as PeerId, stale(1))
  net.port(ends[1] as Endpoint).send('p0' as PeerId, stale(2))
  run(100)

  expect(inboxes).toEqual([[], [stale(1)]])
})

test('[SIM] messages may be dropped and doubled; what arrives shares nothing with what was sent', () => {
  const { net, ends, inboxes, run } = room(2, { dropRate: 0.3, duplicateRate: 0.3 })
  const message = { ...stale(0) }
  for (let count = 0; count < 200; count++) net.port(ends[0] as Endpoint).send('p1' as PeerId, message)
  run(2000)

  const arrived = inboxes[1] ?? []
  expect(arrived.length).toBeGreaterThan(120)
  expect(arrived.length).toBeLessThan(240)
  expect(arrived[0]).not.toBe(message)
  expect(Object.isFrozen(arrived[0])).toBe(true)
})

test('[SIM] replica messages keep their order, also over a short cut', () => {
  const { net, ends, run } = room(2, { delayMeanMs: 50, tailRate: 0.3 })
  const [a, b] = ends as [Endpoint, Endpoint]
  const arrived: (number | undefined)[] = []
  net.replicaPort(b).onMessage((_from, bytes) => arrived.push(bytes[0]))
  for (let count = 0; count < 50; count++) {
    if (count === 20) net.cut(0, 1)
    net.replicaPort(a).send('p1' as PeerId, Uint8Array.of(count))
  }
  run(500)
  net.mend(0, 1)
  run(5000)

  expect(arrived).toEqual(Array.from({ length: 50 }, (_, count) => count))
})

test('[SIM] what was sent in a session that is over does not arrive in the next', () => {
  const { net, ends, inboxes, run } = room(2)
  net.clog(0, 1, Number.MAX_SAFE_INTEGER)
  net.port(ends[0] as Endpoint).send('p1' as PeerId, stale(1))
  run(5000)
  net.healAll()
  run(5000)
  net.port(ends[0] as Endpoint).send('p1' as PeerId, stale(2))
  run(100)

  expect(inboxes[1]).toEqual([stale(2)])
})

test('[SIM] a polite leave is seen at once', () => {
  const { loop, net, ends, views, run } = room(2)
  const membership = createSimMembership(2, loop, createRng(1), net)
  membership.leave(ends[1] as Endpoint)
  run(50)
  expect(views[0]?.at(-1)).toEqual({ type: 'peer-left', peer: 'p1', cause: 'left' })
})
