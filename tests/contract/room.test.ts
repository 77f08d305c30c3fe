import { createInvite, createSystemClock, openRoom, operationHash, type Room } from '@shoal/mesh'
import { createNodeTransport, startSignalling } from '@shoal/mesh/node'
import { type JobId, type Message, PackedPayload, type PeerId } from '@shoal/scheduler'
import { afterEach, expect, test } from 'vitest'

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

async function roomOf(roles: readonly ('member' | 'contributor')[]) {
  const server = await startSignalling()
  closers.push(() => server.close())
  const invites = await createInvite({ url: `http://${server.host}:${server.port}`, room: 'contract' })
  const join = async (role: 'member' | 'contributor'): Promise<Seen> => {
    const signalling = { host: server.host, port: server.port }
    const transport = createNodeTransport({ signalling, room: 'contract', loopback: true })
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
