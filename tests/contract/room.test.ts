import { createInvite, createSystemClock, openRoom, operationHash, type Room } from '@shoal/mesh'
import { createNodeTransport, startSignalling } from '@shoal/mesh/node'
import { type JobId, type Message, PackedPayload, type PeerId, type Transport } from '@shoal/scheduler'
import { outcomes, specs } from '@shoal/scheduler/testing/contract/replica'
import { afterEach, expect, test } from 'vitest'
import { encodeReplicaMessage } from '../../packages/mesh/src/replica/protocol.ts'
import { encodeFrame, frameTypes } from '../../packages/mesh/src/wire/frames.ts'
import { tapped } from '../support/tap.ts'

const closers: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

interface Seen {
  readonly room: Room
  readonly peers: Set<PeerId>
  readonly left: string[]
  readonly messages: Message[]
  readonly codes: string[]
  /** Bytes per millisecond, as last told. */
  rate: number
}

async function until(isDone: () => boolean, what: string): Promise<void> {
  const endsAt = performance.now() + 15_000
  while (!isDone()) {
    if (performance.now() > endsAt) throw new Error(`Not seen: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

type Wrap = (transport: Transport) => Transport

async function roomOf(roles: readonly ('member' | 'contributor')[], wrap: Wrap = (transport) => transport) {
  const server = await startSignalling()
  closers.push(() => server.close())
  const invites = await createInvite({ url: `http://${server.host}:${server.port}`, room: 'contract' })
  const join = async (role: 'member' | 'contributor'): Promise<Seen> => {
    const signalling = { host: server.host, port: server.port }
    const own = createNodeTransport({ signalling, room: 'contract', loopback: true })
    const transport = role === 'contributor' ? wrap(own) : own
    const room = await openRoom({ invite: invites[role], transport, clock: createSystemClock() })
    closers.push(() => room.leave())
    const seen: Seen = { room, peers: new Set(), left: [], messages: [], codes: [], rate: 0 }
    room.network.onView((event) => {
      if (event.type === 'peer-joined') seen.peers.add(event.peer)
      if (event.type === 'link-measured') seen.rate = event.bytesPerMs
      if (event.type === 'peer-left') {
        seen.peers.delete(event.peer)
        seen.left.push(event.cause)
      }
    })
    room.network.onMessage((_from, message) => seen.messages.push(message))
    room.onRefused((refusal) => seen.codes.push(refusal.code))
    return seen
  }
  const all = await Promise.all(roles.map(join))
  return { server, all }
}

const job = 'job-1' as JobId

test('a room over WebRTC: hello bound to its links, messages, code, large values, polite leave', async () => {
  const { server, all } = await roomOf(['member', 'member', 'contributor'])
  const [a, b, c] = all as [Seen, Seen, Seen]
  await until(() => all.every((one) => one.peers.size === 2), 'three peers that see each other')

  const source = 'export const add1 = (x) => x + 1'
  const hash = await operationHash(source, 'add1')
  a.room.operations.add({ hash, name: 'add1', source, exportName: 'add1' })
  expect((await c.room.operations.fetch(hash, a.room.self)).source).toBe(source)

  const bytes = new Uint8Array(8_000_000).map((_, at) => (at * 7) % 251)
  const value = new PackedPayload(bytes)
  const results = [{ no: 0, attempt: 1, outcome: { status: 'done', value }, ranMs: 1 }] as const
  c.room.network.send(a.room.self, { type: 'results', job, epoch: 1, results })
  for (let epoch = 0; epoch < 1_000; epoch++) a.room.network.send(b.room.self, { type: 'adopt', job, epoch })
  await until(() => b.messages.length === 1_000, 'a thousand messages')
  await until(() => a.messages.length === 1, 'a large value')
  const [large] = a.messages
  const outcome = large?.type === 'results' ? large.results[0]?.outcome : null
  expect(outcome?.status === 'done' && Buffer.compare(outcome.value.pack(), bytes)).toBe(0)

  await server.close()
  await until(() => !b.room.health().isOnline, 'signalling that went away')
  a.room.network.send(b.room.self, { type: 'adopt', job, epoch: 7 })
  await until(() => b.messages.length === 1_001, 'a message without signalling')
  await b.room.leave()
  await until(() => a.left.length === 1 && c.left.length === 1, 'a goodbye')
  expect(a.left).toEqual(['left'])
  expect(all.flatMap((one) => one.codes)).toEqual([])
})

test('[RP7] over WebRTC a contributor gets no byte of a document, and each that it sends is E_FORBIDDEN', async () => {
  const frames: Uint8Array[] = []
  const sends: ((frame: Uint8Array) => void)[] = []
  const wrap: Wrap = (transport) => Object.assign(transport, tapped(transport, frames, sends))
  const { all } = await roomOf(['member', 'member', 'contributor'], wrap)
  const [a, b, c] = all as [Seen, Seen, Seen]
  await until(() => all.every((one) => one.peers.size === 2), 'three peers that see each other')
  const told: string[] = []
  b.room.replica?.onRecords((records) => void told.push(...records.map(({ type }) => type)))
  a.room.replica?.write([
    { type: 'job', by: a.room.self, job, name: 'secret job' },
    { type: 'claim', by: a.room.self, job, epoch: 1 },
    specs(job, 0, 20),
    outcomes(job, a.room.self, 1, 0, 20),
  ])
  await until(() => told.includes('outcomes'), 'what the other member wrote')
  // After it on the same links: when it has come, all that was sent before has.
  a.room.network.send(c.room.self, { type: 'adopt', job, epoch: 9 })
  b.room.network.send(c.room.self, { type: 'adopt', job, epoch: 9 })
  await until(() => c.messages.length === 2, 'a message from each member')
  const isDocument = (frame: Uint8Array): boolean => frame[1] === frameTypes.replica
  expect(c.room.replica).toBeNull()
  expect(frames.length).toBeGreaterThan(4)
  expect(frames.filter(isDocument)).toEqual([])
  expect(frames.some((frame) => Buffer.from(frame).includes('secret job'))).toBe(false)

  const said = [
    encodeReplicaMessage({ type: 'update', name: `lane:${c.room.self}`, update: Uint8Array.of(0, 0) }),
    encodeReplicaMessage({ type: 'synced', id: 1 }),
  ]
  for (const send of sends) for (const body of said) send(encodeFrame(frameTypes.replica, 0, body))
  await until(() => a.codes.length >= 2 && b.codes.length >= 2, 'refusals')
  for (const { codes } of [a, b]) expect(codes).toEqual(['E_FORBIDDEN', 'E_FORBIDDEN'])
  expect(frames.filter(isDocument)).toEqual([])
  expect(c.peers.size).toBe(2)
})
