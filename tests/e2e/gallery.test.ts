import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { hostRoom, type RoomHost } from '@shoal/sdk/node'
import type { Browser, Page } from 'playwright'
import { afterAll, beforeAll, expect, onTestFailed, test } from 'vitest'
import { auditPage } from './support/audit.ts'
import { launchBrowser, openPage } from './support/browser.ts'
import { contribute, joinRoom, waitForPicture } from './support/demo-page.ts'

// The gallery is one service: it moves from peer to peer before the visitors' eyes, and nothing in it is lost.

const screenshots = fileURLToPath(new URL('../../test-results/', import.meta.url))
let room: RoomHost
let browser: Browser

beforeAll(async () => {
  mkdirSync(screenshots, { recursive: true })
  room = await hostRoom({ host: '127.0.0.1', port: 0 })
  browser = await launchBrowser()
})
afterAll(async () => {
  await browser?.close()
  await room?.close()
})

function gallery(page: Page) {
  return page.getByRole('region', { name: 'Gallery' })
}

async function whenKeptBy(page: Page, who: string): Promise<void> {
  await gallery(page).getByText(`Kept by ${who}, epoch`).waitFor({ timeout: 60_000 })
}

async function epochOf(page: Page): Promise<number> {
  return Number(/epoch (\d+)/.exec((await gallery(page).textContent()) ?? '')?.[1])
}

test('the gallery moves from page to page when its host is ended, with its pictures and its count of visits', {
  timeout: 300_000,
}, async () => {
  const one = await openPage(browser, room.memberInvite)
  const two = await openPage(browser, room.memberInvite, { viewport: { width: 390, height: 844 } })
  onTestFailed(async () => {
    await one.page.screenshot({ path: `${screenshots}gallery-one.png`, fullPage: true })
    await two.page.screenshot({ path: `${screenshots}gallery-two.png`, fullPage: true })
  })
  await joinRoom(one.page, 'Page one')
  await contribute(one.page, 1)
  await whenKeptBy(one.page, 'this page')
  await one.page.getByLabel('Detail').selectOption('Quick')
  await one.page.getByRole('button', { name: 'Start' }).click()
  await waitForPicture(one.page, 1)
  await gallery(one.page).getByRole('img', { name: 'Fractal number 1' }).waitFor()

  // A second visitor, on a phone, sees the same, and ends the host.
  await joinRoom(two.page, 'Page two')
  await whenKeptBy(two.page, 'Page one')
  await gallery(two.page).getByText('2 visits.').waitFor()
  await gallery(two.page).getByRole('img', { name: 'Fractal number 1' }).waitFor()
  expect(await auditPage(two.page)).toEqual([])
  const end = gallery(two.page).getByRole('button', { name: 'End Page one …' })
  await end.waitFor({ timeout: 30_000 })
  await end.focus()
  await two.page.keyboard.press('Enter')
  await gallery(two.page)
    .getByRole('group', { name: /Page one leaves the room at once/ })
    .waitFor()
  expect(await auditPage(two.page)).toEqual([])
  await two.page.screenshot({ path: `${screenshots}gallery-phone.png`, fullPage: true })
  await two.page.keyboard.press('Tab')
  const before = await epochOf(two.page)
  await gallery(two.page).getByRole('button', { name: 'End it' }).click()
  await whenKeptBy(two.page, 'this page')
  expect(await epochOf(two.page)).toBeGreaterThan(before)
  await one.page.getByText('You left.').waitFor()
  await gallery(two.page).getByText('2 visits.').waitFor()
  await gallery(two.page).getByRole('img', { name: 'Fractal number 1' }).waitFor()

  // It can be asked for, too: the other one is back, and takes it.
  await joinRoom(one.page, 'Page one')
  await whenKeptBy(one.page, 'Page two')
  await gallery(one.page).getByRole('button', { name: 'Bring it here' }).click()
  await whenKeptBy(one.page, 'this page')
  await gallery(one.page).getByText('3 visits.').waitFor()
  await gallery(one.page).getByRole('img', { name: 'Fractal number 1' }).waitFor()
  expect([...one.errors, ...two.errors]).toEqual([])
})
