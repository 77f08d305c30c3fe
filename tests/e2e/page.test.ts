import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { hostRoom, type RoomHost } from '@shoal/sdk/node'
import type { Browser, Page } from 'playwright'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { auditPage, focusOrder } from './support/audit.ts'
import { launchBrowser, openPage, plainHost } from './support/browser.ts'
import { contribute, joinRoom, waitForLenders, waitForPicture } from './support/demo-page.ts'

const screenshots = fileURLToPath(new URL('../../test-results/', import.meta.url))
const phone = { viewport: { width: 375, height: 720 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 }

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

/** The page's workers that run tasks; the one that only keeps time is not among them. */
function computing(page: Page): string[] {
  return page
    .workers()
    .map((worker) => worker.url())
    .filter((url) => url.includes('worker-entry'))
}

test('without an invite the page says what to do', async () => {
  const { page, errors } = await openPage(browser, room.url)
  await page.getByRole('heading', { name: 'You need an invite to join a room' }).waitFor()
  expect(await page.getByText('npx shoal up').isVisible()).toBe(true)
  await page.getByLabel('Invite link').fill('http://example.org/')
  await page.getByRole('button', { name: 'Join' }).click()
  await page.getByRole('alert').getByText('This is not a whole invite link').waitFor()
  expect(await auditPage(page)).toEqual([])
  await page.screenshot({ path: `${screenshots}page-no-invite.png`, fullPage: true })
  expect(errors).toEqual([])
  await page.context().close()
})

test('the invite leaves the address and survives a reload', async () => {
  const { page, errors } = await openPage(browser, room.memberInvite)
  await page.getByRole('heading', { name: /^Join room / }).waitFor()
  expect(page.url()).not.toContain('#')
  await page.reload()
  await page.getByRole('heading', { name: /^Join room / }).waitFor()
  expect(await auditPage(page)).toEqual([])
  expect(errors).toEqual([])
  await page.context().close()
})

test('a broken invite gets words, not a code alone', async () => {
  const { page } = await openPage(browser, `${room.url}/#room=blue&role=member&k=tooShort`)
  await page.getByRole('button', { name: 'Join', exact: true }).click()
  await page.getByRole('alert').getByText('This invite link is not complete').waitFor()
  expect(await page.getByRole('button', { name: 'Join', exact: true }).isEnabled()).toBe(true)
  expect(await auditPage(page)).toEqual([])
  await page.context().close()
})

test('an invite to a meeting point that is gone says so and lets go', async () => {
  const gone = await hostRoom({ host: '127.0.0.1', port: 0, page: false })
  const invite = gone.memberInvite
  await gone.close()
  const { page } = await openPage(browser, room.url)
  await page.getByLabel('Invite link').fill(invite)
  await page.getByRole('button', { name: 'Join' }).click()
  await page.getByText('The meeting point does not answer yet. Still trying.').waitFor({ timeout: 45_000 })
  await page.getByRole('button', { name: 'Stop' }).click()
  await page.getByRole('heading', { name: /^Join room / }).waitFor()
  expect(await page.getByRole('button', { name: 'Join', exact: true }).isEnabled()).toBe(true)
  await page.context().close()
})

test('the room goes on while the meeting point is away, and the page says so', async () => {
  const meetingPoint = await hostRoom({ host: '127.0.0.1', port: 0 })
  const first = await openPage(browser, meetingPoint.memberInvite)
  const second = await openPage(browser, meetingPoint.memberInvite)
  await joinRoom(first.page, 'First')
  await joinRoom(second.page, 'Second')
  await contribute(first.page, 1)
  await waitForLenders(second.page, ['First'])
  await meetingPoint.close()
  await second.page.getByText('The meeting point is away: those here go on, nobody new can join.').waitFor()
  await second.page.getByLabel('Detail').selectOption('Quick')
  await second.page.getByRole('button', { name: 'Start' }).click()
  await waitForPicture(second.page, 1)
  await waitForPicture(first.page, 1)
  expect(await auditPage(second.page)).toEqual([])
  // The script of the workers was on the host: the page must not claim to lend.
  await second.page.getByRole('switch', { name: 'Contribute' }).click()
  await second.page.getByText('On, but no worker could start here yet.').waitFor()
  await first.page.context().close()
  await second.page.context().close()
})

test('a page at a plain network address, where browsers offer no WebCrypto, works as any other', async () => {
  const plain = await openPage(browser, room.invite('member', `http://${plainHost}:${room.port}`))
  expect(await plain.page.evaluate(() => [isSecureContext, crypto.subtle === undefined])).toEqual([
    false,
    true,
  ])
  const other = await openPage(browser, room.memberInvite)
  await joinRoom(plain.page, 'A phone')
  await joinRoom(other.page, 'A laptop')
  await contribute(plain.page, 1)
  await waitForLenders(other.page, ['A phone'])
  await other.page.getByLabel('Detail').selectOption('Quick')
  await other.page.getByRole('button', { name: 'Start' }).click()
  await other.page.getByText(/is complete: 150 of 150 tiles/).waitFor({ timeout: 60_000 })
  await plain.page.getByText(/is complete: 150 of 150 tiles/).waitFor({ timeout: 60_000 })
  expect([...plain.errors, ...other.errors]).toEqual([])
  await plain.page.context().close()
  await other.page.context().close()
})

test('nothing computes before Contribute is pressed; the keyboard does everything', async () => {
  const { page, errors } = await openPage(browser, room.url)
  await page.getByRole('button', { name: 'Try it alone' }).click()
  const lend = page.getByRole('switch', { name: 'Contribute' })
  await lend.waitFor()
  expect(await lend.getAttribute('aria-checked')).toBe('false')
  await page.getByLabel('Detail').selectOption('Quick')
  await page.getByRole('button', { name: 'Start' }).click()
  await page.getByText('No device lends a worker').waitFor()
  expect(computing(page)).toEqual([])
  await page.getByText('Picture 1: 0 of 150 tiles').waitFor()

  await lend.focus()
  await page.keyboard.press('Space')
  await page.getByText(/^On: this device lends/).waitFor()
  await waitForPicture(page, 1)
  expect(computing(page)).not.toEqual([])

  const picture = page.getByRole('application', { name: /^Picture/ })
  await picture.focus()
  await page.keyboard.press('+')
  await waitForPicture(page, 2)
  await page.keyboard.press('ArrowLeft')
  await waitForPicture(page, 3)
  const label = await page.getByRole('img', { name: /^Mandelbrot set/ }).getAttribute('aria-label')
  expect(label).toContain('width 1.65')
  expect(label).toContain('centre -1.0625')
  expect(await focusOrder(page, 9)).toEqual([
    'Leave',
    'Contribute',
    'Workers',
    'What runs here, and how do I stop it?',
    'Picture: zooms with plus and minus, moves with the arrow keys',
    'Start again',
    'Zoom in',
    'Zoom out',
    'Whole',
  ])

  await lend.focus()
  await page.keyboard.press('Space')
  await page.getByText('Off: this device computes nothing for others.').waitFor()
  await expect.poll(() => computing(page)).toEqual([])
  await page.getByRole('button', { name: 'Leave' }).press('Enter')
  await page.getByText('You left. Nothing runs on this device any more.').waitFor()
  expect(errors).toEqual([])
  await page.context().close()
})

test.each([
  { name: 'light', colorScheme: 'light' as const },
  { name: 'dark', colorScheme: 'dark' as const },
])('the room fits a phone and can be read: $name', async ({ name, colorScheme }) => {
  const { page, errors } = await openPage(browser, room.memberInvite, {
    ...phone,
    colorScheme,
    reducedMotion: 'reduce',
  })
  await joinRoom(page, 'A phone with quite a long name for a phone')
  await contribute(page, 1)
  await page.getByLabel('Detail').selectOption('Quick')
  await page.getByRole('button', { name: 'Start' }).tap()
  const no = Number(await page.locator('[data-picture]').getAttribute('data-picture'))
  await waitForPicture(page, Math.max(no, 1))
  await page.screenshot({ path: `${screenshots}page-phone-${name}.png`, fullPage: true })
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(375)
  for (const button of await page.getByRole('button').all()) {
    expect((await button.boundingBox())?.height, (await button.textContent()) ?? '').toBeGreaterThanOrEqual(
      40,
    )
  }
  const motion = await page
    .getByRole('switch')
    .locator('.knob')
    .evaluate((knob) => getComputedStyle(knob).transitionDuration)
  expect(motion).toBe('0s')
  expect(await auditPage(page)).toEqual([])
  expect(errors).toEqual([])
  await page.context().close()
})

test('a contributor lends, and is told why there is no picture', async () => {
  const member = await openPage(browser, room.memberInvite)
  await joinRoom(member.page, 'A member')
  const lender = await openPage(browser, room.contributorInvite)
  await joinRoom(lender.page, 'A lender')
  await lender.page.getByRole('heading', { name: 'You are here to lend' }).waitFor()
  expect(await lender.page.getByRole('button', { name: 'Start' }).count()).toBe(0)
  await contribute(lender.page, 1)
  await member.page.locator('tr', { hasText: 'A lender' }).getByText('1 worker').waitFor({ timeout: 30_000 })
  expect(await member.page.locator('tr', { hasText: 'A lender' }).textContent()).toContain('lends only')
  await member.page.getByLabel('Detail').selectOption('Quick')
  await member.page.getByRole('button', { name: 'Start' }).click()
  await member.page.getByText(/is complete: 150 of 150 tiles/).waitFor({ timeout: 60_000 })
  await member.page.screenshot({ path: `${screenshots}page-desktop.png`, fullPage: true })
  expect(await auditPage(lender.page)).toEqual([])
  expect([...member.errors, ...lender.errors]).toEqual([])
  await lender.page.context().close()
  await member.page.context().close()
})
