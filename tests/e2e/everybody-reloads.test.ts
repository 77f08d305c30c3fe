import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { hostRoom, type RoomHost } from '@shoal/sdk/node'
import type { Browser, Page } from 'playwright'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { wholeView } from '../../apps/demo/src/fractal.ts'
import { launchBrowser, openPage, type WatchedPage } from './support/browser.ts'
import {
  contribute,
  differences,
  joinRoom,
  picturePixels,
  progressOf,
  referencePixels,
  waitForLenders,
  waitForPicture,
  waitForShare,
} from './support/demo-page.ts'
import { type NodePeer, startNodePeer } from './support/node-peer.ts'

// Three pages and a Node peer hold all there is of a picture, and all of them start again.

const names = ['Page one', 'Page two', 'Page three']
const dataDir = mkdtempSync(join(tmpdir(), 'shoal-reloads-'))
let room: RoomHost
let browser: Browser
let nodePeer: NodePeer
let pages: WatchedPage[] = []

beforeAll(async () => {
  room = await hostRoom({ host: '127.0.0.1', port: 0 })
  browser = await launchBrowser()
})

afterAll(async () => {
  await browser?.close()
  await nodePeer?.stop()
  await room?.close()
  rmSync(dataDir, { recursive: true, force: true })
})

function startNode(): Promise<NodePeer> {
  return startNodePeer(room.memberInvite, 'Node one', 1, dataDir)
}

async function enter(page: Page, name: string): Promise<void> {
  await joinRoom(page, name)
  await contribute(page, 1)
}

/** Starts the slow picture from the first page and lets some of it come to every page. */
async function startPicture(no: number): Promise<void> {
  const [first] = pages as [WatchedPage]
  await first.page.getByLabel('Detail').selectOption('Very fine (slow)')
  await first.page.getByRole('button', { name: 'Start' }).click()
  await Promise.all(pages.map(({ page }) => waitForShare(page, no, 0.1, 0.85)))
}

async function checkPicture(no: number): Promise<void> {
  const reference = referencePixels({ ...wholeView, iterations: 12_000 })
  for (const { page, errors } of pages) {
    await waitForPicture(page, no)
    expect(differences(await picturePixels(page), reference)).toBe(0)
    expect(errors).toEqual([])
  }
}

test('[DU6] all pages are loaded again and the Node peer is killed, at once: the picture is finished', {
  timeout: 400_000,
}, async () => {
  nodePeer = await startNode()
  pages = await Promise.all(names.map(() => openPage(browser, room.memberInvite)))
  await Promise.all(pages.map(({ page }, at) => enter(page, names[at] as string)))
  await Promise.all(pages.map(({ page }) => waitForLenders(page, [...names, 'Node one'])))
  await startPicture(1)

  const { id } = nodePeer
  const before = await progressOf((pages[0] as WatchedPage).page)
  // Nobody is left in between: what goes on is what was on the disks.
  await Promise.all([nodePeer.kill(), ...pages.map(({ page }) => page.reload())])
  nodePeer = await startNode()
  expect(nodePeer.id).toBe(id)
  await Promise.all(pages.map(({ page }, at) => enter(page, names[at] as string)))
  const after = await progressOf((pages[0] as WatchedPage).page)
  expect(before.total - after.total).toBe(0)
  await checkPicture(1)
})

test('[DU6] all of them start again one after the other: the next picture is finished, too', {
  timeout: 400_000,
}, async () => {
  await startPicture(2)
  for (const [at, { page }] of pages.entries()) {
    await page.reload()
    await enter(page, names[at] as string)
    await waitForLenders(page, [names[at] as string])
  }
  await nodePeer.kill()
  nodePeer = await startNode()
  await checkPicture(2)
})
