import { type Chunk, joinMesh, type Mesh, operation, withContext } from '@shoal/sdk'
import { hostRoom, type RoomHost } from '@shoal/sdk/node'
import type { Browser, Page } from 'playwright'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { launchBrowser, openPage } from './support/browser.ts'
import { contribute, joinRoom } from './support/demo-page.ts'
import { type NodePeer, startNodePeer } from './support/node-peer.ts'

// A page holds the only copy of a result, and goes: the task makes it again elsewhere.

let room: RoomHost
let browser: Browser
let mesh: Mesh | undefined
let lender: NodePeer | undefined

beforeAll(async () => {
  room = await hostRoom({ host: '127.0.0.1', port: 0 })
  browser = await launchBrowser()
})
afterEach(async () => {
  await mesh?.close()
  await lender?.stop()
})
afterAll(async () => {
  await browser?.close()
  await room?.close()
})

/** Ends the tab's process on the spot: no `pagehide`, no goodbye. */
async function crash(page: Page): Promise<void> {
  const crashed = page.waitForEvent('crash')
  const session = await page.context().newCDPSession(page)
  // The answer never comes: whoever would give it is gone.
  session.send('Page.crash').catch(() => {})
  await crashed
}

const mib = 2 ** 20
const filled = operation('filled', (bytes: number, value: number) => new Uint8Array(bytes).fill(value))
const measure = operation('measure', (bytes: Uint8Array) => [bytes.length, bytes[bytes.length - 1]])

test.each([
  ['closed', (page: Page) => page.close()],
  ['crashed', crash],
  ['reloaded', (page: Page) => page.reload()],
] as const)(
  '[CH10] the page that holds the only copy is %s: whoever needs it gets it all the same',
  async (_how, end) => {
    mesh = await joinMesh(room.memberInvite, { name: 'submitter', workers: 0 })
    const { page } = await openPage(browser, room.memberInvite)
    await joinRoom(page, 'The page')
    await contribute(page, 1)
    await expect.poll(() => mesh?.processors.length, { timeout: 20_000 }).toBe(1)
    const made = mesh.spawn(filled, mib, 7)
    const chunk = await made.chunk()
    expect(chunk.home).toBe(mesh.processors[0]?.peer)
    // From the page to here, then to a worker there.
    expect((await chunk.get())[mib - 1]).toBe(7)
    const second = mesh.spawn(filled, mib, 8)
    await second.wait()

    lender = await startNodePeer(room.memberInvite, 'Node one', 1)
    await expect.poll(() => mesh?.processors.length, { timeout: 20_000 }).toBe(2)
    await end(page)
    expect(await mesh.spawn(measure, second)).toEqual([mib, 8])
    const fetched = await (await second.chunk()).get()
    expect([fetched.length, fetched[0]]).toEqual([mib, 8])
    chunk.release()
    await page.close().catch(() => {})
  },
  120_000,
)

test('[CH10] what a body on a page had put is lost when the page is reloaded, and whoever asks is told', async () => {
  mesh = await joinMesh(room.memberInvite, { name: 'submitter', workers: 0 })
  const { page } = await openPage(browser, room.memberInvite)
  await joinRoom(page, 'The page')
  await contribute(page, 1)
  await expect.poll(() => mesh?.processors.length, { timeout: 20_000 }).toBe(1)
  const putter = withContext(async (ctx, bytes: number) => ({
    chunk: await ctx.mesh.put(new Uint8Array(bytes)),
  }))
  const { chunk } = (await mesh.spawn(putter, mib)) as { chunk: Chunk<Uint8Array> }
  await page.reload()
  await expect(chunk.get()).rejects.toMatchObject({ code: 'E_CHUNK_LOST' })
  await page.close()
}, 60_000)
