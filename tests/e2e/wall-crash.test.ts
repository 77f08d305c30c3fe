import { hostRoom, type RoomHost } from '@shoal/sdk/node'
import type { Browser, Page } from 'playwright'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { wholeView } from '../../apps/demo/src/fractal.ts'
import { launchBrowser, openPage } from './support/browser.ts'
import {
  contribute,
  differences,
  joinRoom,
  picturePixels,
  referencePixels,
  waitForLenders,
  waitForPicture,
  waitForShare,
} from './support/demo-page.ts'
import { type NodePeer, startNodePeer } from './support/node-peer.ts'

let room: RoomHost
let browser: Browser
let nodePeer: NodePeer | undefined

beforeAll(async () => {
  room = await hostRoom({ host: '127.0.0.1', port: 0 })
  browser = await launchBrowser()
})

afterAll(async () => {
  await browser?.close()
  await nodePeer?.stop()
  await room?.close()
})

test('the owner page crashes without a goodbye: the others finish its picture', {
  timeout: 400_000,
}, async () => {
  nodePeer = await startNodePeer(room.memberInvite, 'Node one', 1)
  const owner = await openPage(browser, room.memberInvite)
  const watcher = await openPage(browser, room.memberInvite)
  for (const [{ page }, name] of [
    [owner, 'The owner'],
    [watcher, 'The watcher'],
  ] as const) {
    await joinRoom(page, name)
    await contribute(page, 1)
  }
  await waitForLenders(owner.page, ['The owner', 'The watcher', 'Node one'])
  await waitForLenders(watcher.page, ['The owner', 'The watcher', 'Node one'])

  await owner.page.getByLabel('Detail').selectOption('Very fine (slow)')
  await owner.page.getByRole('button', { name: 'Start' }).click()
  await waitForShare(watcher.page, 1, 0.2, 0.8)
  await crash(owner.page)

  await waitForPicture(watcher.page, 1)
  const reference = referencePixels({ ...wholeView, iterations: 12_000 })
  expect(differences(await picturePixels(watcher.page), reference)).toBe(0)
  await watcher.page.getByText(/Owner: (this page|Node one), epoch [2-9], taken over/).waitFor()
  expect(watcher.errors).toEqual([])
})

/** Ends the tab's process on the spot: no `pagehide`, no goodbye, as when a phone runs out of memory. */
async function crash(page: Page): Promise<void> {
  const crashed = page.waitForEvent('crash')
  const session = await page.context().newCDPSession(page)
  // The answer never comes: whoever would give it is gone.
  session.send('Page.crash').catch(() => {})
  await crashed
}
