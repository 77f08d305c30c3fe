import type { JobId, PeerId } from '@shoal/scheduler'
import { outcomes, specs } from '@shoal/scheduler/testing/contract/replica'
import { afterEach, expect, test } from 'vitest'
import { createIdentity, type Identity } from '../../../packages/mesh/src/membership/crypto.ts'
import { createSigning } from '../../../packages/mesh/src/membership/signing.ts'
import {
  createTestWorld,
  type TestPeer,
  type TestWorld,
} from '../../../packages/mesh/src/membership/testing.ts'
import { createReplica, type ReplicaExtras } from '../../../packages/mesh/src/replica/index.ts'
import {
  decodeReplicaMessage,
  encodeReplicaMessage,
  type ReplicaMessage,
} from '../../../packages/mesh/src/replica/protocol.ts'
import type { ReplicaFactory } from '../../../packages/mesh/src/room.ts'
import { encodeFrame, frameTypes } from '../../../packages/mesh/src/wire/frames.ts'
import { tapped } from '../../support/tap.ts'

const open: { readonly world: TestWorld; readonly peers: TestPeer[] }[] = []
afterEach(async () => {
  for (const { world, peers } of open.splice(0)) {
    const leaving = Promise.all(peers.map((peer) => peer.room.leave()))
    await world.clock.advance(500)
    await leaving
    expect(world.network.errors).toEqual([])
  }
})

async function worldOf(): Promise<{ readonly world: TestWorld; readonly peers: TestPeer[] }> {
  const made = { world: await createTestWorld(), peers: [] }
  open.push(made)
  return made
}

function write(peer: TestPeer, job: string, count: number): void {
  peer.room.replica?.write([
    { type: 'job', by: peer.self, job: job as JobId, name: job },
    { type: 'claim', by: peer.self, job: job as JobId, epoch: 1 },
    specs(job, 0, count),
    outcomes(job, peer.self, 1, 0, count),
  ])
}

/** A member whose replica the test can make say other things to other members. */
function liar(change: (to: PeerId, message: ReplicaMessage) => ReplicaMessage): ReplicaFactory {
  return (parts) => {
    const send = (to: PeerId, bytes: Uint8Array): void =>
      parts.network.send(to, encodeReplicaMessage(change(to, decodeReplicaMessage(bytes))))
    return createReplica({ ...parts, network: { ...parts.network, send } })
  }
}

function toldOf(peer: TestPeer): string[] {
  const told: string[] = []
  peer.room.replica?.onRecords((records) => void told.push(...records.map(({ type }) => type)))
  return told
}

test('[RP7] a contributor gets no byte of a document, and every document frame of its own is E_FORBIDDEN', async () => {
  const { world, peers } = await worldOf()
  const frames: Uint8Array[] = []
  const [a, b] = [await world.join('a'), await world.join('b')]
  const sends: ((frame: Uint8Array) => void)[] = []
  const c = await world.join('c', {
    role: 'contributor',
    // Between the contributor and its links: sees every frame, and says more than it should.
    wrap: (transport) => Object.assign(transport, tapped(transport, frames, sends)),
  })
  peers.push(a, b, c)
  await world.meet(a, b, c)
  write(a, 'j1', 50)
  write(b, 'j2', 50)
  await world.clock.advance(60_000)
  expect(c.room.replica).toBeNull()
  expect(frames.length).toBeGreaterThan(10)
  expect(frames.filter((frame) => frame[1] === frameTypes.replica)).toEqual([])
  const secrets = ['lane:', 'job:'].map((text) => Buffer.from(text))
  for (const frame of frames)
    for (const secret of secrets) expect(Buffer.from(frame).includes(secret)).toBe(false)

  const digest: ReplicaMessage = {
    type: 'digest',
    id: 1,
    from: '',
    to: '',
    isPartial: false,
    wantsDigest: true,
    entries: [],
  }
  const said: readonly ReplicaMessage[] = [
    digest,
    { type: 'update', name: `lane:${c.self}`, update: Uint8Array.of(0, 0) },
    { type: 'state', name: 'job:j1', update: Uint8Array.of(0, 0) },
    { type: 'synced', id: 1 },
    { type: 'dropped', names: ['job:j1'] },
    { type: 'hold', id: 1, entries: [] },
    { type: 'held', id: 1 },
  ]
  const before = new Map(
    [a, b].map((peer) => [peer, (peer.room.replica as unknown as ReplicaExtras).contentHashes()]),
  )
  const known = frames.length
  for (const send of sends) {
    for (const message of said) send(encodeFrame(frameTypes.replica, 0, encodeReplicaMessage(message)))
    send(encodeFrame(frameTypes.replica, 0, Uint8Array.of(0xc1)))
  }
  await world.clock.advance(2_000)
  for (const peer of [a, b]) expect(peer.codes()).toEqual(Array(said.length + 1).fill('E_FORBIDDEN'))
  expect(frames.slice(known).filter((frame) => frame[1] === frameTypes.replica)).toEqual([])
  for (const [peer, hashes] of before) {
    expect((peer.room.replica as unknown as ReplicaExtras).contentHashes()).toEqual(hashes)
  }
  expect(c.peers().length).toBe(2)
})

test('[40] [RP8] what an absent member wrote reaches a newcomer through another, changed: E_SIGNATURE, unchanged: whole', async () => {
  const { world, peers } = await worldOf()
  let isLying = true
  const forge = (_to: PeerId, message: ReplicaMessage): ReplicaMessage => {
    if (!isLying || message.type !== 'state' || !message.name.startsWith('job:')) return message
    const update = message.update.slice()
    // Somewhere in the middle: an entry, or its signature.
    update[update.length >> 1] = (update[update.length >> 1] as number) ^ 1
    return { ...message, update }
  }
  const [a, b] = [await world.join('a'), await world.join('b', { createReplica: liar(forge) })]
  peers.push(b)
  await world.meet(a, b)
  write(a, 'j1', 20)
  await world.clock.advance(1_000)
  a.transport.partition()
  await world.clock.until(() => b.peers().length === 0)
  const c = await world.join('c')
  peers.push(c)
  const told = toldOf(c)
  await world.meet(b, c)
  await world.clock.advance(3_000)
  expect(c.codes()).toContain('E_SIGNATURE')
  expect(told).toEqual(['job', 'claim'])
  isLying = false
  await world.clock.advance(40_000)
  expect(told).toEqual(['job', 'claim', 'specs', 'outcomes'])
  await a.room.leave()
})

test('[31] [38] a member that signs two histories: E_EQUIVOCATION, and E_BANNED for as long as the room is open', async () => {
  const { world, peers } = await worldOf()
  const identity: Identity = await createIdentity()
  const [a, b] = [await world.join('a'), await world.join('b')]
  let sayInstead: ((to: PeerId, bytes: Uint8Array) => void) | null = null
  const w = await world.join('w', {
    identity,
    createReplica: (parts) => {
      sayInstead = parts.network.send
      return createReplica(parts)
    },
  })
  peers.push(a, b, w)
  await world.meet(a, b, w)
  write(w, 'j1', 5)
  await world.clock.advance(1_000)
  // The same key and client id, with nothing remembered: it signs another history, for b alone.
  const other = createReplica({
    self: w.self,
    clientId: (w.room.replica as unknown as ReplicaExtras).clientId,
    clock: { now: () => 0, setTimer: () => () => {}, defer: (callback) => callback() },
    rng: { next: () => 0.5 },
    operations: w.room.operations,
    signing: createSigning(w.room.invite.room, identity),
    network: {
      members: () => [b.self],
      send: (to, bytes) => sayInstead?.(to, bytes),
      onMessage: () => () => {},
      onMember: () => () => {},
    },
  })
  other.write([
    { type: 'job', by: w.self, job: 'j1' as JobId, name: 'other' },
    { type: 'claim', by: w.self, job: 'j1' as JobId, epoch: 1 },
    specs('j1', 0, 5),
  ])
  await other.settle()
  await world.clock.advance(1_000)
  expect(b.codes()).toContain('E_EQUIVOCATION')
  expect(b.peers()).not.toContain(w.self)
  expect(b.peers()).toContain(a.self)
  await world.clock.advance(30_000)
  expect(b.codes()).toContain('E_BANNED')
  expect(b.peers()).toEqual([a.self])
  const left = w.room.leave()
  await world.clock.advance(500)
  await left
  const again = await world.join('w2', { identity, epoch: 9 })
  peers.push(again)
  await world.meet(a, again)
  await world.clock.advance(5_000)
  expect(b.peers()).toEqual([a.self])
  expect(again.codes()).toContain('E_BANNED')
  write(a, 'j2', 3)
  await world.clock.advance(1_000)
  const hashes = (peer: TestPeer) => (peer.room.replica as unknown as ReplicaExtras).contentHashes()
  expect(hashes(b).get('job:j2')).toEqual(hashes(a).get('job:j2'))
  other.close()
})
