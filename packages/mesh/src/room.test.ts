import {
  type JobId,
  type Link,
  type Message,
  type OperationHash,
  PackedPayload,
  type PeerId,
} from '@shoal/scheduler'
import { afterEach, expect, test } from 'vitest'
import { createIdentity } from './membership/crypto.ts'
import { createTestWorld, type TestPeer, type TestWorld } from './membership/testing.ts'
import { operationHash } from './operations.ts'
import { NO_FAULTS } from './transport/chaos.ts'

const open: { readonly world: TestWorld; readonly peers: TestPeer[] }[] = []

afterEach(async () => {
  for (const { world, peers } of open.splice(0)) {
    const leaving = Promise.all(peers.map((peer) => peer.room.leave()))
    await world.clock.advance(500)
    await leaving
    expect(world.network.errors).toEqual([])
  }
})

async function roomOf(...names: readonly string[]): Promise<{ world: TestWorld; peers: TestPeer[] }> {
  const world = await createTestWorld()
  const peers: TestPeer[] = []
  for (const name of names) peers.push(await world.join(name))
  open.push({ world, peers })
  await world.meet(...peers)
  return { world, peers }
}

const job = 'job-1' as JobId
const adopt = (epoch: number): Message => ({ type: 'adopt', job, epoch })

function results(bytes: Uint8Array): Message {
  const outcome = { status: 'done', value: new PackedPayload(bytes) } as const
  return { type: 'results', job, epoch: 1, results: [{ no: 0, attempt: 1, outcome, ranMs: 2.5 }] }
}

test('openRoom() brings five peers together, each seeing the other four once', async () => {
  const { peers } = await roomOf('a', 'b', 'c', 'd', 'e')
  for (const peer of peers) {
    expect(peer.views.filter((event) => event.type === 'peer-joined')).toHaveLength(4)
    expect(peer.refusals).toEqual([])
    expect(peer.room.health()).toEqual({
      isOnline: true,
      peers: 5,
      members: 5,
      durability: 'memory',
      reasons: [],
    })
  }
})

test('network.send() delivers messages in order, those of one turn in one frame', async () => {
  const { world, peers } = await roomOf('a', 'b')
  const [a, b] = peers as [TestPeer, TestPeer]
  for (let epoch = 0; epoch < 100; epoch++) a.room.network.send(b.self, adopt(epoch))
  await world.clock.settle()
  expect(b.messages.map(({ message }) => message)).toEqual(
    Array.from({ length: 100 }, (_, epoch) => adopt(epoch)),
  )
  expect(b.messages[0]?.from).toBe(a.self)
})

test('network keeps messages and peers for a listener that comes later', async () => {
  const { world, peers } = await roomOf('a', 'b')
  const [a, b] = peers as [TestPeer, TestPeer]
  const seen: unknown[] = []
  b.room.network.onView((event) => seen.push(event.type, event.peer))
  expect(seen).toContain(a.self)
  a.room.network.send('nobody' as PeerId, adopt(1))
  await world.clock.settle()
  expect(b.messages).toEqual([])
})

test('[MB3] room.leave() is seen at once by everybody', async () => {
  const { world, peers } = await roomOf('a', 'b', 'c')
  const [a, b, c] = peers as [TestPeer, TestPeer, TestPeer]
  const leaving = b.room.leave()
  await world.clock.until(() => a.has('peer-left', b) && c.has('peer-left', b), 100)
  expect(a.views.at(-1)).toEqual({ type: 'peer-left', peer: b.self, cause: 'left' })
  await leaving
  expect(b.room.leave()).toBe(leaving)
})

test('[MB1] a silent peer is suspected, then dead after 3 s, and the others agree', async () => {
  const { world, peers } = await roomOf('a', 'b', 'c')
  const [a, b, c] = peers as [TestPeer, TestPeer, TestPeer]
  await world.clock.advance(2_000)
  b.transport.partition()
  const suspectedMs = await world.clock.until(() => a.has('peer-suspected', b))
  expect(suspectedMs).toBeGreaterThan(900)
  expect(suspectedMs).toBeLessThanOrEqual(1_800)
  const deadMs = await world.clock.until(() => a.has('peer-left', b) && c.has('peer-left', b))
  expect(suspectedMs + deadMs).toBeLessThanOrEqual(3_500)
  expect(a.views.at(-1)).toMatchObject({ type: 'peer-left', cause: 'dead' })
  expect(a.peers()).toEqual([c.self])
})

test('a peer whose links close without a goodbye is dead as soon as the others agree', async () => {
  const { world, peers } = await roomOf('a', 'b', 'c', 'd')
  const [a, b, c, d] = peers as [TestPeer, TestPeer, TestPeer, TestPeer]
  await world.clock.advance(3_000)
  void b.transport.close()
  const deadMs = await world.clock.until(() => [a, c, d].every((one) => one.has('peer-left', b)))
  expect(deadMs).toBeLessThan(1_600)
  expect(a.views.at(-1)).toMatchObject({ type: 'peer-left', cause: 'dead' })
})

test('a link that breaks alone is made again: nobody leaves, and messages go on', async () => {
  const { world, peers } = await roomOf('a', 'b', 'c')
  const [a, b] = peers as [TestPeer, TestPeer]
  const links: Link[] = []
  const d = await world.join('d', {
    wrap: (transport) => ({
      ...transport,
      address: transport.address,
      get isOnline() {
        return transport.isOnline
      },
      dial: async (address, channel) => {
        const link = await transport.dial(address, channel)
        links.push(link)
        return link
      },
    }),
  })
  peers.push(d)
  await world.meet(a, b, d)
  expect(links.length).toBeGreaterThan(0)
  for (const link of links.slice()) link.close()
  await world.clock.until(() => a.has('peer-suspected', d))
  await world.clock.until(() => a.has('peer-trusted', d), 2_000)
  d.room.network.send(a.self, adopt(3))
  await world.clock.settle()
  expect(a.messages).toEqual([{ from: d.self, message: adopt(3) }])
  expect(a.has('peer-left', d)).toBe(false)
  expect(d.room.epoch).toBe(1)
})

test('after a minute of lost, doubled and late frames, failed dials and partitions everybody is back', async () => {
  const { world, peers } = await roomOf('a', 'b', 'c', 'd')
  const faults = { dropRate: 0.02, duplicateRate: 0.02, reorderRate: 0.1, dialFailRate: 0.2 }
  for (const peer of peers) peer.transport.setFaults({ ...faults, delayMs: [0, 80] })
  for (let round = 0; round < 4; round++) {
    const [one, two] = [peers[round % 4] as TestPeer, peers[(round + 1) % 4] as TestPeer]
    one.transport.partition(round % 2 === 0 ? two.name : undefined, round === 3 ? 'out' : 'both')
    await world.clock.advance(6_000)
    one.transport.heal()
    for (const peer of peers) peer.room.network.send(two.self, adopt(round))
    await world.clock.advance(9_000)
  }
  for (const peer of peers) peer.transport.setFaults(NO_FAULTS)
  await world.clock.advance(20_000)
  await world.meet(...peers)
  await world.clock.advance(10_000)
  for (const from of peers) {
    for (const to of peers) if (from !== to) from.room.network.send(to.self, adopt(99))
  }
  await world.clock.advance(1_000)
  for (const peer of peers) {
    const last = peer.messages.slice(-3).map(({ message }) => message)
    expect(last).toEqual([adopt(99), adopt(99), adopt(99)])
    expect(peer.codes()).not.toContain('E_INVARIANT')
  }
})

test('a short silence is suspicion only: the peer is trusted again', async () => {
  const { world, peers } = await roomOf('a', 'b', 'c')
  const [a, b] = peers as [TestPeer, TestPeer]
  b.transport.partition()
  await world.clock.until(() => a.has('peer-suspected', b))
  b.transport.heal()
  await world.clock.until(() => a.has('peer-trusted', b), 1_000)
  await world.clock.advance(5_000)
  expect(a.has('peer-left', b)).toBe(false)
})

test('nobody is suspected in a minute of quiet', async () => {
  const { world, peers } = await roomOf('a', 'b', 'c')
  await world.clock.advance(60_000)
  for (const peer of peers) {
    expect(peer.views.filter((event) => event.type === 'peer-suspected')).toEqual([])
    expect(peer.refusals).toEqual([])
  }
})

test('[RC3] a peer that was given up is fenced, and comes back at a higher epoch by itself', async () => {
  const { world, peers } = await roomOf('a', 'b', 'c')
  const [a, b, c] = peers as [TestPeer, TestPeer, TestPeer]
  b.transport.partition()
  await world.clock.until(() => [a, c].every((one) => one.has('peer-left', b)))
  await world.clock.advance(4_000)
  expect(b.peers()).toEqual([])
  b.room.network.send(a.self, adopt(7))
  b.transport.heal()
  await world.clock.until(() => [a, c].every((one) => one.peers().includes(b.self)))
  await world.clock.until(() => b.peers().length === 2)
  expect(b.room.epoch).toBeGreaterThan(1)
  expect(a.views.findLast((event) => event.type === 'peer-joined')).toMatchObject({ peer: b.self, epoch: 2 })
  expect(a.messages).toEqual([])
  await world.clock.advance(10_000)
  b.room.network.send(a.self, adopt(8))
  await world.clock.settle()
  expect(a.messages).toEqual([{ from: b.self, message: adopt(8) }])
  expect(a.peers()).toHaveLength(2)
})

test('a one-way partition ends the same way: both sides agree and find each other again', async () => {
  const { world, peers } = await roomOf('a', 'b')
  const [a, b] = peers as [TestPeer, TestPeer]
  b.transport.partition(undefined, 'out')
  await world.clock.until(() => a.has('peer-left', b))
  await world.clock.until(() => b.has('peer-left', a))
  b.transport.heal()
  await world.clock.until(() => a.peers().length === 1 && b.peers().length === 1)
  await world.clock.advance(5_000)
  expect(a.peers()).toEqual([b.self])
  expect(b.peers()).toEqual([a.self])
})

test('[MB4] rooms stay linked, and heal, while signalling is away', async () => {
  const { world, peers } = await roomOf('a', 'b', 'c')
  const [a] = peers as [TestPeer]
  world.network.setOnline(false)
  await world.clock.advance(10_000)
  expect(a.peers()).toHaveLength(2)
  expect(a.room.health()).toMatchObject({ isOnline: false, peers: 3 })
  expect(a.room.health().reasons[0]).toContain('signalling')
  world.network.setOnline(true)
})

test('contributors link to members only, and say what they may', async () => {
  const { world, peers } = await roomOf('a', 'b')
  const [a, b] = peers as [TestPeer, TestPeer]
  const c = await world.join('c', { role: 'contributor' })
  const d = await world.join('d', { role: 'contributor' })
  peers.push(c, d)
  await world.meet(a, b, c)
  await world.meet(a, b, d)
  await world.clock.advance(20_000)
  expect(c.peers()).not.toContain(d.self)
  expect(a.views).toContainEqual({ type: 'peer-joined', peer: c.self, epoch: 1, role: 'contributor' })
  a.room.network.send(c.self, adopt(1))
  c.room.network.send(a.self, results(new Uint8Array([1])))
  c.room.network.send(a.self, adopt(2))
  c.room.network.send(a.self, results(new Uint8Array([2])))
  await world.clock.settle()
  expect(c.messages).toHaveLength(1)
  expect(a.messages.map(({ message }) => message.type)).toEqual(['results', 'results'])
  expect(a.codes()).toEqual(['E_FORBIDDEN'])
})

test('[WP6] a message of 20 MiB crosses over the bulk link, bounded on the way, and small ones pass it', async () => {
  const { world, peers } = await roomOf('a', 'b')
  const [a, b] = peers as [TestPeer, TestPeer]
  const bytes = new Uint8Array(20 * 1024 * 1024).map((_, at) => (at * 31) % 251)
  a.room.network.send(b.self, results(bytes))
  a.room.network.send(b.self, adopt(1))
  await world.clock.until(() => b.messages.length === 2)
  expect(b.messages[0]?.message.type).toBe('adopt')
  const large = b.messages[1]?.message as Extract<Message, { type: 'results' }>
  const outcome = large.results[0]?.outcome
  expect(outcome?.status).toBe('done')
  if (outcome?.status === 'done') expect(Buffer.compare(outcome.value.pack(), bytes)).toBe(0)
  expect(a.refusals).toEqual([])
  b.room.network.send(a.self, results(bytes.subarray(0, 100_000)))
  await world.clock.until(() => a.messages.length === 1)
})

test('[46] [CO1] operations.fetch() gets code from its owner, or from another member, and checks it', async () => {
  const { world, peers } = await roomOf('a', 'b', 'c')
  const [a, b, c] = peers as [TestPeer, TestPeer, TestPeer]
  const source = `export const add1 = (x) => x + 1 // ${'x'.repeat(100_000)}`
  const hash = await operationHash(source, 'add1')
  const operation = { hash, name: 'add1', source, exportName: 'add1' }
  a.room.operations.add(operation)
  const fetched = b.room.operations.fetch(hash, a.self)
  await world.clock.advance(100)
  expect(await fetched).toEqual(operation)
  const elsewhere = c.room.operations.fetch(hash, 'gone' as PeerId)
  await world.clock.advance(100)
  expect(await elsewhere).toEqual(operation)

  const wrong = `${'0'.repeat(64)}#add1` as OperationHash
  a.room.operations.add({ ...operation, hash: wrong })
  const refused = b.room.operations.fetch(wrong, a.self)
  const missing = b.room.operations.fetch(`${'1'.repeat(64)}#add1` as OperationHash, a.self)
  const outcomes = Promise.allSettled([refused, missing])
  await world.clock.advance(15_000)
  expect((await outcomes).map((one) => one.status === 'rejected' && one.reason.code)).toEqual([
    'E_CODE_HASH',
    'E_NO_FUNCTION',
  ])
})

test('a peer of another room, or with a cut invite, is refused with E_AUTH', async () => {
  const { world, peers } = await roomOf('a', 'b')
  const [a] = peers as [TestPeer]
  const other = await createTestWorld()
  const stranger = await world.join('x', { invites: other.invites })
  peers.push(stranger)
  await world.clock.advance(3_000)
  expect(stranger.peers()).toEqual([])
  expect(a.peers()).toHaveLength(1)
  expect(new Set(a.codes())).toEqual(new Set(['E_AUTH']))
  expect(new Set(stranger.codes())).toEqual(new Set(['E_AUTH']))
})

test('[30] a second start under one identity replaces the first one', async () => {
  const { world, peers } = await roomOf('a')
  const [a] = peers as [TestPeer]
  const identity = await createIdentity()
  const first = await world.join('b', { identity })
  await world.meet(a, first)
  first.transport.partition()
  const second = await world.join('c', { identity, epoch: 2 })
  peers.push(first, second)
  await world.meet(a, second)
  expect(a.codes()).toContain('E_SUPERSEDED')
  expect(a.views.filter((event) => event.type === 'peer-joined')).toMatchObject([{ epoch: 1 }, { epoch: 2 }])
})
