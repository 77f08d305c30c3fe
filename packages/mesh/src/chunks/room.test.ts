import { type ChunkRef, chunkId, type Link, type Transport } from '@shoal/scheduler'
import { chunkBytes, expectSameBytes } from '@shoal/scheduler/testing/contract/chunk-store'
import { afterEach, expect, test } from 'vitest'
import { limits } from '../limits.ts'
import { concat } from '../membership/bytes.ts'
import { createTestWorld, type JoinOptions, type TestPeer, type TestWorld } from '../membership/testing.ts'
import { packBody } from '../wire/body.ts'
import { writePieceHead } from '../wire/control.ts'
import { encodeFrame, frameTypes } from '../wire/frames.ts'

const open: { readonly world: TestWorld; readonly peers: TestPeer[] }[] = []

afterEach(async () => {
  for (const { world, peers } of open.splice(0)) {
    const leaving = Promise.all(peers.map((peer) => peer.room.leave()))
    await world.clock.advance(500)
    await leaving
    expect(world.network.errors).toEqual([])
  }
})

const mebibyte = 2 ** 20

async function roomOf(joins: Readonly<Record<string, JoinOptions>>) {
  const world = await createTestWorld()
  const peers: TestPeer[] = []
  for (const [name, options] of Object.entries(joins)) peers.push(await world.join(name, options))
  open.push({ world, peers })
  const members = peers.filter((peer) => peer.room.role === 'member')
  await world.clock.until(() =>
    members.every((member) => peers.every((peer) => peer === member || member.peers().includes(peer.self))),
  )
  return { world, peers }
}

/** Puts `change` between a room and each of its links. */
function wrapLinks(
  change: (link: Link) => Link,
): (transport: TestPeer['transport']) => TestPeer['transport'] {
  return (transport) => {
    const dial: Transport['dial'] = transport.dial.bind(transport)
    const onLink = transport.onLink.bind(transport)
    return Object.assign(transport, {
      dial: async (...args: Parameters<typeof dial>) => change(await dial(...args)),
      onLink: (listener: (link: Link) => void) => onLink((link) => listener(change(link))),
    })
  }
}

let made = 0
function put(peer: TestPeer, bytes: Uint8Array): Promise<ChunkRef> {
  return peer.room.chunks.put(chunkId(peer.self, 1, made++), bytes)
}

async function settle<T>(world: TestWorld, promise: Promise<T>): Promise<T> {
  let isOver = false
  const done = (): void => {
    isOver = true
  }
  promise.then(done, done)
  await world.clock.until(() => isOver, 60_000)
  return promise
}

test('[CH3] a chunk goes from a member to a contributor and back, over bulk links', async () => {
  const { world, peers } = await roomOf({ a: {}, b: {}, c: { role: 'contributor' } })
  const [a, b, c] = peers as [TestPeer, TestPeer, TestPeer]
  const ref = await put(a, chunkBytes(5 * mebibyte + 5))
  expectSameBytes(await settle(world, c.room.chunks.fetch(ref, [a.self])), chunkBytes(5 * mebibyte + 5))
  const result = await put(c, chunkBytes(70_000, 2))
  expectSameBytes(await settle(world, b.room.chunks.fetch(result, [c.self])), chunkBytes(70_000, 2))
  expect(b.room.chunks.stats.movedInBytes).toBe(70_000)
  expect([a, b, c].flatMap((peer) => peer.codes())).toEqual([])
})

test('[CH4] a link that breaks in the middle: the same holder gives the rest when it is back', async () => {
  const links: Link[] = []
  let left = 80
  const broken: number[] = []
  const wrap = wrapLinks((link) => {
    links.push(link)
    const onMessage: Link['onMessage'] = (listener) =>
      link.onMessage((message) => {
        listener(message)
        if (link.channel !== 'bulk' || --left !== 0) return
        broken.push(b.room.chunks.stats.movedInBytes)
        for (const one of links) one.close()
      })
    return Object.create(link, { onMessage: { value: onMessage } }) as Link
  })
  const { world, peers } = await roomOf({ a: {}, b: { wrap } })
  const [a, b] = peers as [TestPeer, TestPeer]
  const ref = await put(a, chunkBytes(12 * mebibyte))
  expectSameBytes(await settle(world, b.room.chunks.fetch(ref, [a.self])), chunkBytes(12 * mebibyte))
  expect(broken[0]).toBeGreaterThan(3 * mebibyte)
  expect(broken[0]).toBeLessThan(12 * mebibyte)
  expect(b.room.chunks.stats.movedInBytes).toBeLessThan(13 * mebibyte)
})

test('[CH4] a holder that leaves in the middle: E_CHUNK_LOST, or the rest comes from another one', async () => {
  const { world, peers } = await roomOf({ a: {}, b: {}, c: {} })
  const [a, b, c] = peers as [TestPeer, TestPeer, TestPeer]
  const ref = await put(a, chunkBytes(12 * mebibyte))
  await settle(world, b.room.chunks.fetch(ref, [a.self]))
  const both = c.room.chunks.fetch(ref, [a.self, b.self])
  void a.room.leave()
  expectSameBytes(await settle(world, both), chunkBytes(12 * mebibyte))
  c.room.chunks.drop(ref.id)
  const lost = c.room.chunks.fetch(ref, [a.self])
  await expect(settle(world, lost)).rejects.toThrow(expect.objectContaining({ code: 'E_CHUNK_LOST' }))
})

test('[CH3] a chunk goes from a contributor to another one, through members, who keep nothing of it', async () => {
  const lender: JoinOptions = { role: 'contributor' }
  const { world, peers } = await roomOf({ a: {}, b: {}, c: lender, d: lender })
  const [a, b, c, d] = peers as [TestPeer, TestPeer, TestPeer, TestPeer]
  const ref = await put(c, chunkBytes(9 * mebibyte))
  expectSameBytes(await settle(world, d.room.chunks.fetch(ref, [c.self])), chunkBytes(9 * mebibyte))
  expect([a.room.chunks.stats.heldBytes, b.room.chunks.stats.heldBytes]).toEqual([0, 0])
  const relayed = [a, b, c, d].map((peer) => peer.room.chunks.stats.relayedBytes)
  // Whichever of the members it was.
  const relay = (relayed[0] as number) > 0 ? a : b
  expect(relayed.toSorted((x, y) => x - y).slice(0, 3)).toEqual([0, 0, 0])
  expect(relay.room.chunks.stats.relayedBytes).toBeGreaterThan(9 * mebibyte)
  expect(relay.room.chunks.stats.movedInBytes).toBe(0)
  d.room.chunks.drop(ref.id)
  const again = d.room.chunks.fetch(ref, [c.self])
  void relay.room.leave()
  expectSameBytes(await settle(world, again), chunkBytes(9 * mebibyte))
  d.room.chunks.drop(ref.id)
  const lost = d.room.chunks.fetch(ref, [c.self])
  void c.room.leave()
  await expect(settle(world, lost)).rejects.toThrow(expect.objectContaining({ code: 'E_CHUNK_LOST' }))
  const codes = [b, d].flatMap((peer) => peer.codes())
  expect(codes.filter((code) => /CHUNK|HASH/.test(code))).toEqual([])
})

test('[65] crafted frames about chunks are refused, and the peer goes on', async () => {
  const says: ((type: number, body: Uint8Array) => void)[] = []
  const wrap = wrapLinks((link) => {
    let seq = 0
    const send = (frame: Uint8Array): void => {
      new DataView(frame.buffer, frame.byteOffset, frame.length).setUint32(2, seq++)
      link.send(frame)
    }
    if (link.channel === 'control') says.push((type, body) => send(encodeFrame(type as 20, 0, body)))
    return Object.create(link, { send: { value: send } }) as Link
  })
  const { world, peers } = await roomOf({ a: {}, b: { role: 'contributor', wrap } })
  const [a, b] = peers as [TestPeer, TestPeer]
  const ref = await put(a, chunkBytes(2 * mebibyte))
  const say = says[0] as (type: number, body: Uint8Array) => void
  const { pieceWanted, piece } = frameTypes
  const refused = async (type: number, body: Uint8Array): Promise<readonly string[]> => {
    const before = a.codes().length
    say(type, body)
    await world.clock.advance(1_100)
    return a.codes().slice(before)
  }
  expect(await refused(pieceWanted, packBody([1, ref.id, ref.hash]))).toEqual(['E_SCHEMA'])
  expect(await refused(pieceWanted, packBody([1, '../secret file', ref.hash, 0, null]))).toEqual(['E_SCHEMA'])
  expect(await refused(pieceWanted, packBody([1, ref.id, new Uint8Array(31), 0, null]))).toEqual(['E_SCHEMA'])
  expect(await refused(pieceWanted, packBody([1, ref.id, new Uint8Array(32), 0, null]))).toEqual([
    'E_CHUNK_REF',
  ])
  expect(await refused(pieceWanted, packBody([1, ref.id, ref.hash, -1, null]))).toEqual(['E_SCHEMA'])
  expect(await refused(pieceWanted, packBody([1, ref.id, ref.hash, 8, null]))).toEqual(['E_CHUNK_REF'])
  expect(await refused(pieceWanted, new Uint8Array(0))).toEqual(['E_DECODE'])
  expect(await refused(piece, new Uint8Array(4))).toEqual(['E_SCHEMA'])
  expect(await refused(piece, Uint8Array.of(0, 0, 0, 1, 2))).toEqual(['E_SCHEMA'])
  expect(await refused(piece, concat([writePieceHead(77, true), chunkBytes(100)]))).toEqual(['E_CHUNK_REF'])
  expect(a.room.chunks.stats.movedOutBytes).toBe(0)
  expectSameBytes(await settle(world, b.room.chunks.fetch(ref, [a.self])), chunkBytes(2 * mebibyte))
})

test('[CH2] health says why chunks stay in memory', async () => {
  const { world } = await roomOf({ a: {} })
  const openChunkDisk = async (): Promise<never> => {
    throw Object.assign(new Error('not here'), { code: 'EACCES' })
  }
  const b = await world.join('b', { openChunkDisk, chunkMemoryBytesMax: limits.chunkPieceBytes })
  open.push({ world, peers: [b] })
  await put(b, chunkBytes(2 * mebibyte))
  expect(b.room.health().reasons.join()).toContain('Chunks stay in memory: ')
})
