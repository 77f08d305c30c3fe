import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { cutTiles, encodePng, paint, renderTile } from '../../scripts/mandelbrot.mjs'
import { root } from '../../scripts/setup.mjs'
import { startNode } from '../support/program.ts'

// `npm start -- --exit`, from the build: the first thing that a newcomer sees must be right to the pixel.

const [width, height] = [1024, 640]

function drawHere(): Buffer {
  const pixels = new Uint8Array(width * height * 3)
  for (const tile of cutTiles(width, height, 128)) paint(pixels, tile, renderTile(tile))
  return encodePng(width, height, pixels)
}

test('npm start draws the picture on two other processes, as one process would', async () => {
  const file = join(root, 'mandelbrot.png')
  rmSync(file, { force: true })
  const start = startNode([join(root, 'scripts/start.mjs'), '--exit'])
  onTestFinished(async () => {
    await start.stop()
  })
  expect(await start.ended, start.errors).toBe(0)
  expect(readFileSync(file).equals(drawHere())).toBe(true)
  // Both peers drew, and nobody else.
  const shares = start.lines.filter((line) => / tiles +\d+ %$/.test(line))
  expect(shares.map((line) => line.trim().split(' ')[0]).sort()).toEqual(['heron', 'otter'])
  const tiles = shares.map((line) => Number(/(\d+) tiles/.exec(line)?.[1]))
  expect(tiles.reduce((sum, count) => sum + count, 0)).toBe(160)
})
