import { expect, test } from 'vitest'
import {
  argumentsOf,
  drawShades,
  imageHeight,
  imageWidth,
  isFromGpu,
  moved,
  spanMin,
  tileOf,
  tilesOf,
  wholeView,
  zoomed,
} from './fractal.ts'
import { coloursOf, pixelsOf } from './palette.ts'

const quick = { ...wholeView, iterations: 200 }

test('tilesOf() covers every pixel of the picture once, the centre first', () => {
  const covered = new Uint8Array(imageWidth * imageHeight)
  const tiles = tilesOf(wholeView)
  for (const { left, top, width, height } of tiles) {
    for (let row = top; row < top + height; row += 1) {
      for (let column = left; column < left + width; column += 1) {
        covered[row * imageWidth + column] = (covered[row * imageWidth + column] as number) + 1
      }
    }
  }
  expect(covered.every((times) => times === 1)).toBe(true)
  const first = tiles[0]
  expect(Math.abs((first?.left ?? 0) + 32 - imageWidth / 2)).toBeLessThanOrEqual(32)
})

test('drawShades() knows the inside from the outside, and is small enough to travel', () => {
  const tiles = tilesOf(quick).map((spec) => tileOf(drawShades(argumentsOf(spec)), 'p/worker/0'))
  const shadeAt = (x: number, y: number): number => {
    const tile = tiles.find(
      ({ spec }) => x >= spec.left && x < spec.left + 64 && y >= spec.top && y < spec.top + 64,
    )
    if (tile === undefined) throw new Error('no tile there')
    return tile.shades[(y - tile.spec.top) * tile.spec.width + (x - tile.spec.left)] as number
  }
  const column = (x: number): number => Math.round(((x - quick.x) / quick.span + 0.5) * imageWidth)
  expect(shadeAt(column(0), imageHeight / 2)).toBe(0)
  expect(shadeAt(column(-1), imageHeight / 2)).toBe(0)
  expect(shadeAt(column(0.8), imageHeight / 2)).not.toBe(0)
  expect(Math.max(...tiles.map((tile) => tile.shades.byteLength))).toBeLessThanOrEqual(16 * 1024)
})

test('drawShades() is self-contained: its text alone draws the same tile', () => {
  const args = argumentsOf(tilesOf(quick)[0] as never)
  const fromText = new Function(`return (${drawShades.toString()})`)() as typeof drawShades
  expect(fromText(args)).toEqual(drawShades(args))
})

test('tileOf() gives what was asked for, and who drew it', () => {
  const spec = tilesOf({ ...quick, x: 0.1, y: -1 / 3 })[7]
  if (spec === undefined) throw new Error('no tiles')
  const { place } = argumentsOf(spec)
  const tile = tileOf({ place, shades: new Uint32Array(1_024).fill(0x04030201) }, 'a/webgpu/0')
  expect(tile.spec).toEqual(spec)
  expect([...tile.shades.slice(0, 5)]).toEqual([1, 2, 3, 4, 1])
  expect([tile, { ...tile, processor: 'a/worker/0' }].map(isFromGpu)).toEqual([true, false])
})

test('zoomed() keeps the chosen point where it is', () => {
  const view = zoomed(wholeView, 0.5, 0.25, 0.75)
  expect(view.span).toBeCloseTo(wholeView.span / 2)
  const before = wholeView.x + (0.25 - 0.5) * wholeView.span
  expect(view.x + (0.25 - 0.5) * view.span).toBeCloseTo(before)
  const height = imageHeight / imageWidth
  const beforeY = wholeView.y + (0.75 - 0.5) * wholeView.span * height
  expect(view.y + (0.75 - 0.5) * view.span * height).toBeCloseTo(beforeY)
})

test('zoomed() stops where doubles cannot tell pixels apart', () => {
  let view = wholeView
  for (let step = 0; step < 200; step += 1) view = zoomed(view, 0.5)
  expect(view.span).toBe(spanMin)
})

test('moved() goes by parts of the picture', () => {
  expect(moved(wholeView, 0.5, 0).x).toBeCloseTo(wholeView.x + wholeView.span / 2)
  expect(moved(wholeView, 0, -0.5).y).toBeCloseTo(-((wholeView.span / 2) * imageHeight) / imageWidth)
})

test('pixelsOf() paints opaque pixels, and the inside in its own colour', () => {
  const colours = coloursOf('ember')
  const tile = { spec: tilesOf(quick)[0] as never, shades: Uint8Array.of(0, 1, 255), processor: '' }
  const pixels = pixelsOf(tile, colours)
  expect([...pixels.slice(0, 4)]).toEqual([10, 6, 8, 255])
  expect([...pixels.slice(4, 8)]).toEqual([24, 8, 14, 255])
  expect(pixels[11]).toBe(255)
})
