import { expect, test } from 'vitest'
import { PackedColumn, readColumn } from './column.ts'

test.each([
  ['that count up', [0, 1, 2, 3]],
  ['that fall, jump and are negative', [5, -3, 1e6, -1e12, 0]],
  [
    'that are fractions, huge, no numbers or minus zero',
    [0.5, 1e300, Number.NaN, -0, Number.POSITIVE_INFINITY],
  ],
  ['that are none', []],
])('[RG6] numbers %s come back as they were', (_, numbers) => {
  const column = readColumn(new PackedColumn(Float64Array.from(numbers), true).pack())
  expect([...(column.numbers as Float64Array)]).toEqual(numbers)
  expect(column.isWrapped).toBe(true)
})

test('[RG6] numbers that count up take a byte each', () => {
  const column = new PackedColumn(
    Float64Array.from({ length: 256 }, (_, index) => 1000 + index),
    false,
  )
  expect(column.sizeBytes).toBeLessThan(256 + 8)
})

test('[RG6] packed values come back, whole, cut and one by one', () => {
  const parts = [Uint8Array.of(1, 2, 3), new Uint8Array(0), new Uint8Array(300).fill(7)]
  const column = readColumn(new PackedColumn(parts, false).pack())
  expect(column.parts).toEqual(parts)
  expect(readColumn(column.slice(1, 3).pack()).parts).toEqual(parts.slice(1))
  expect(column.at(2).pack()).toEqual(parts[2])
})

test('[RG6] an only argument becomes the list of all arguments', () => {
  expect(new PackedColumn([Uint8Array.of(5)], true).at(0).pack()).toEqual(Uint8Array.of(0x91, 5))
  const number = new PackedColumn(Float64Array.of(1), true).at(0).pack()
  expect([...number.subarray(0, 2)]).toEqual([0x91, 0xcb])
})

test.each([
  ['nothing', []],
  ['an unknown form', [6, 0]],
  ['fewer values than it says', [0, 2, 1, 9]],
  ['a value that is cut', [0, 1, 5, 9]],
  ['bytes behind its values', [2, 1, 0, 0]],
  ['doubles that are cut', [4, 1, 0, 0]],
  ['more values than a column may have', [2, 0xff, 0xff, 0xff, 0x7f]],
  ['a number without an end', [2, 1, 0xff]],
])('[WP1] a column of %s is refused', (_, bytes) => {
  expect(() => readColumn(Uint8Array.from(bytes))).toThrow(expect.objectContaining({ code: 'E_SCHEMA' }))
})
