import type { Page } from 'playwright'
import { expect } from 'vitest'
import {
  argumentsOf,
  drawShades,
  imageHeight,
  imageWidth,
  tileOf,
  tilesOf,
  type View,
} from '../../../apps/demo/src/fractal.ts'
import { coloursOf, pixelsOf } from '../../../apps/demo/src/palette.ts'

/** What a person does with the page; everything goes through what is on the screen. */
export async function joinRoom(page: Page, name: string): Promise<void> {
  await page.getByLabel('Your name in the room').fill(name)
  await page.getByRole('button', { name: 'Join', exact: true }).click()
  await page.getByRole('button', { name: 'Leave' }).waitFor({ timeout: 30_000 })
}

/** Turns Contribute on with as many workers. */
export async function contribute(page: Page, workers: number): Promise<void> {
  await page.getByRole('slider', { name: 'Workers' }).fill(String(workers))
  await page.getByRole('switch', { name: 'Contribute' }).click()
  await page.getByText(`On: this device lends ${workers} worker`).waitFor()
}

/** Waits until the page sees all these peers, each lending. */
export async function waitForLenders(page: Page, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await page
      .locator('tr[data-state=here]', { hasText: name })
      .getByText(/\d worker/)
      .waitFor({ timeout: 30_000 })
  }
}

/** What the progress bar says now. */
export async function progressOf(page: Page): Promise<{ drawn: number; total: number }> {
  const bar = page.getByRole('progressbar')
  return {
    drawn: Number(await bar.getAttribute('value')),
    total: Number(await bar.getAttribute('max')),
  }
}

/** Waits for at least this share of picture `no`; the picture must not be complete then. */
export async function waitForShare(page: Page, no: number, share: number, shareMax: number): Promise<void> {
  await page.waitForFunction(
    ({ picture, part }) => {
      const bar = document.querySelector('progress')
      const shown = document.querySelector(`[data-picture="${picture}"]`)
      return bar !== null && shown !== null && bar.value >= bar.max * part
    },
    { picture: no, part: share },
    { timeout: 120_000 },
  )
  const { drawn, total } = await progressOf(page)
  expect(drawn / total, 'share drawn when the middle was reached').toBeLessThan(shareMax)
}

/** Waits until the page shows picture `no`, complete. */
export async function waitForPicture(page: Page, no: number): Promise<void> {
  await page
    .getByText(`Picture ${no} is complete: 150 of 150 tiles`, { exact: true })
    .waitFor({ timeout: 150_000 })
}

/** The pixels of the picture on the page: red, green, blue, alpha. */
export async function picturePixels(page: Page): Promise<Buffer> {
  const text = await page.locator('canvas.picture').evaluate((canvas: HTMLCanvasElement) => {
    const context = canvas.getContext('2d')
    if (context === null) throw new Error('no picture')
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height)
    let binary = ''
    for (let at = 0; at < data.length; at += 32_768) {
      binary += String.fromCharCode(...data.subarray(at, at + 32_768))
    }
    return btoa(binary)
  })
  return Buffer.from(text, 'base64')
}

/** The same picture, drawn here by one thread. */
export function referencePixels(view: View): Buffer {
  const pixels = Buffer.alloc(imageWidth * imageHeight * 4)
  const colours = coloursOf('dusk')
  for (const spec of tilesOf(view)) {
    const tile = Buffer.from(pixelsOf(tileOf(drawShades(argumentsOf(spec)), 'reference'), colours).buffer)
    for (let row = 0; row < spec.height; row += 1) {
      const at = ((spec.top + row) * imageWidth + spec.left) * 4
      tile.copy(pixels, at, row * spec.width * 4, (row + 1) * spec.width * 4)
    }
  }
  return pixels
}

/** Number of pixels that differ. */
export function differences(left: Buffer, right: Buffer): number {
  if (left.length !== right.length) return Math.max(left.length, right.length) / 4
  let count = 0
  for (let at = 0; at < left.length; at += 4) {
    if (left.readUInt32LE(at) !== right.readUInt32LE(at)) count += 1
  }
  return count
}
