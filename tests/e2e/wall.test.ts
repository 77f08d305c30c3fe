import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { hostRoom, type RoomHost } from '@shoal/sdk/node'
import type { Browser } from 'playwright'
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import { moved, wholeView } from '../../apps/demo/src/fractal.ts'
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

// The slow setting of the page: a picture takes seconds, so that there is a middle.
const detail = { label: 'Very fine (slow)', iterations: 12_000 }
const pageNames = ['Page one', 'Page two', 'Page three'] as const

const screenshots = fileURLToPath(new URL('../../test-results/', import.meta.url))

let room: RoomHost
let browser: Browser
const nodePeers: NodePeer[] = []
const pages: WatchedPage[] = []

beforeAll(async () => {
  mkdirSync(screenshots, { recursive: true })
  room = await hostRoom({ host: '127.0.0.1', port: 0 })
  browser = await launchBrowser()
})

afterAll(async () => {
  await browser?.close()
  await Promise.all(nodePeers.map((peer) => peer.stop()))
  await room?.close()
})

/** The machine may be busy: nothing here depends on how long it takes. */
const timeoutMs = 400_000

test('three pages and two Node peers draw a picture; page and peer die, then the owner, and nothing is lost', {
  timeout: timeoutMs,
}, async () => {
  onTestFailed(async () => {
    const open = pages.filter(({ page }) => !page.isClosed())
    await Promise.all(
      open.map(({ page }, index) => page.screenshot({ path: `${screenshots}wall-${index}.png` })),
    )
  })
  nodePeers.push(
    await startNodePeer(room.memberInvite, 'Node one', 1),
    await startNodePeer(room.memberInvite, 'Node two', 1),
  )
  for (const name of pageNames) {
    const watched = await openPage(browser, room.memberInvite)
    pages.push(watched)
    await joinRoom(watched.page, name)
    await contribute(watched.page, 1)
  }
  const [submitter, watcher, lender] = pages.map(({ page }) => page)
  if (submitter === undefined || watcher === undefined || lender === undefined) throw new Error('no pages')
  const everybody = [...pageNames, 'Node one', 'Node two']
  await waitForLenders(submitter, everybody)
  await waitForLenders(watcher, everybody)

  // The first picture: a page is closed and a Node peer killed in the middle.
  await submitter.getByLabel('Detail').selectOption(detail.label)
  await submitter.getByRole('button', { name: 'Start' }).click()
  await waitForShare(watcher, 1, 0.2, 0.6)
  await Promise.all([lender.close(), nodePeers[1]?.kill()])
  const { drawn, total } = await progressOf(watcher)
  expect(drawn / total, 'share drawn when both were gone').toBeLessThan(0.8)
  await waitForPicture(submitter, 1)
  await waitForPicture(watcher, 1)
  const first = referencePixels({ ...wholeView, iterations: detail.iterations })
  expect(differences(await picturePixels(submitter), first)).toBe(0)
  expect(differences(await picturePixels(watcher), first)).toBe(0)

  // The second picture: its owner's page is closed in the middle.
  await submitter.getByRole('application', { name: /^Picture/ }).press('ArrowLeft')
  await waitForShare(watcher, 2, 0.2, 0.8)
  await submitter.close()
  const late = await openPage(browser, room.memberInvite)
  pages.push(late)
  await joinRoom(late.page, 'Page four')
  await waitForPicture(watcher, 2)
  const second = referencePixels(moved({ ...wholeView, iterations: detail.iterations }, -0.25, 0))
  expect(differences(second, first), 'another picture than the first').toBeGreaterThan(10_000)
  expect(differences(await picturePixels(watcher), second)).toBe(0)
  await waitForPicture(late.page, 2)
  expect(differences(await picturePixels(late.page), second)).toBe(0)
  await watcher.getByText(/Owner: (this page|Node one), epoch [2-9], taken over/).waitFor()

  expect(pages.flatMap(({ errors }) => errors)).toEqual([])
})
