import { hostRoom, type RoomHost } from '@shoal/sdk/node'
import type { Browser } from 'playwright'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { RefText } from '../support/chunk-orders.ts'
import { launchBrowser } from './support/browser.ts'
import { type ChunkPeer, openChunkPage, serveChunkPage, startChunkProcess } from './support/chunk-peer.ts'
import type { FileServer } from './support/serve-files.ts'

// Chunks between processes and pages, over WebRTC.

const mebibyte = 2 ** 20
let host: RoomHost
let browser: Browser
let server: FileServer
const peers: ChunkPeer[] = []

beforeAll(async () => {
  host = await hostRoom({ page: false })
  browser = await launchBrowser()
  server = await serveChunkPage()
})
afterEach(async () => {
  await Promise.all(peers.splice(0).map((peer) => peer.kill()))
})
afterAll(async () => {
  await Promise.all([browser.close(), server.close()])
  await host.close()
})

async function started<T extends ChunkPeer>(peer: Promise<T>): Promise<T> {
  const one = await peer
  peers.push(one)
  return one
}

const processOf = (memoryMiB: number) => started(startChunkProcess(host.memberInvite, memoryMiB))
const pageOf = (memoryMiB: number) =>
  started(openChunkPage(browser, server.url, host.memberInvite, memoryMiB))

async function meet(...all: readonly ChunkPeer[]): Promise<void> {
  for (const one of all) for (const two of all) if (one !== two) await one.meets(two.id)
}

/** Resolves when the peer has taken in so many bytes. */
async function movedIn(peer: ChunkPeer, bytes: number): Promise<void> {
  for (;;) {
    const { movedInBytes } = await peer.obey({ type: 'stats' })
    if (movedInBytes !== undefined && movedInBytes >= bytes) return
  }
}

test.each([
  ['memory', 512, 256],
  ['disk', 32, 0],
])(
  '[CH3] a 256 MiB chunk moves with less than 64 MiB beside it when both sides keep it in %s',
  async (_name, memoryMiB, ownMiB) => {
    const [holder, consumer] = await Promise.all([processOf(memoryMiB), processOf(memoryMiB)])
    await meet(holder, consumer)
    const ref = await holder.put(256 * mebibyte, 7)
    await Promise.all([holder.watch(), consumer.watch()])
    await consumer.obey({ type: 'hold', ref, holders: [holder.id], seed: 7 })
    const [there, here] = await Promise.all([holder.memory(), consumer.memory()])
    expect(there.rssBytes).toBeLessThan(64 * mebibyte)
    expect(there.heapBytes).toBeLessThan(64 * mebibyte)
    expect(here.rssBytes).toBeLessThan((ownMiB + 64) * mebibyte)
    expect(here.heapBytes).toBeLessThan((ownMiB + 64) * mebibyte)
    const { diskBytes } = await consumer.obey({ type: 'stats' })
    expect(diskBytes).toBe((256 - ownMiB) * mebibyte)
    expect(await consumer.obey({ type: 'fetch', ref, holders: [], seed: 7 })).toMatchObject({ isSame: true })
  },
)

describe('[CH4] a holder that goes in the middle', () => {
  /** Both hold the chunk; the first is ended when a part of it has gone to `consumer`. */
  async function lose(holder: ChunkPeer, spare: ChunkPeer, consumer: ChunkPeer, ref: RefText) {
    const fetching = consumer.obey({ type: 'fetch', ref, holders: [holder.id, spare.id], seed: 3 })
    await movedIn(consumer, 8 * mebibyte)
    await holder.kill()
    expect(await fetching).toMatchObject({ isSame: true })
    const { movedInBytes } = await consumer.obey({ type: 'stats' })
    // What was here stayed: a few pieces were lost with the link, no more.
    expect(movedInBytes).toBeLessThan(ref.sizeBytes + 8 * mebibyte)
    const { movedOutBytes } = await spare.obey({ type: 'stats' })
    expect(movedOutBytes).toBeGreaterThan(0)
    expect(movedOutBytes).toBeLessThan(ref.sizeBytes)
  }

  test('is a page that is closed: the rest comes from a process', async () => {
    const [holder, spare, consumer] = await Promise.all([pageOf(256), processOf(256), processOf(256)])
    await meet(holder, spare, consumer)
    const ref = await holder.put(48 * mebibyte, 3)
    await spare.obey({ type: 'fetch', ref, holders: [holder.id], seed: 3 })
    await lose(holder, spare, consumer, ref)
  })

  test('is a process that is killed: a page gets the rest from another page', async () => {
    const [holder, spare, consumer] = await Promise.all([processOf(256), pageOf(256), pageOf(256)])
    await meet(holder, spare, consumer)
    const ref = await holder.put(48 * mebibyte, 3)
    await spare.obey({ type: 'fetch', ref, holders: [holder.id], seed: 3 })
    await lose(holder, spare, consumer, ref)
  })
})

test('[CH2] a page brings a chunk to its IndexedDB, reads it from there, and gives it to others', async () => {
  const [home, page, consumer] = await Promise.all([processOf(256), pageOf(8), processOf(256)])
  await meet(home, page, consumer)
  const ref = await home.put(24 * mebibyte + 5, 3)
  await page.obey({ type: 'hold', ref, holders: [home.id], seed: 3 })
  expect(await page.obey({ type: 'stats' })).toMatchObject({ diskBytes: 24 * mebibyte + 5 })
  expect(await page.obey({ type: 'fetch', ref, holders: [], seed: 3 })).toMatchObject({ isSame: true })
  expect(await consumer.obey({ type: 'fetch', ref, holders: [page.id], seed: 3 })).toMatchObject({
    isSame: true,
  })
})

test('[CH4] a page that was the only holder is closed: E_CHUNK_LOST, soon', async () => {
  const [holder, consumer] = await Promise.all([pageOf(256), processOf(256)])
  await meet(holder, consumer)
  const ref = await holder.put(64 * mebibyte, 3)
  const fetching = consumer.obey({ type: 'fetch', ref, holders: [holder.id], seed: 3 })
  const refused = expect(fetching).rejects.toThrow('E_CHUNK_LOST')
  await movedIn(consumer, 4 * mebibyte)
  await holder.kill()
  await refused
})
