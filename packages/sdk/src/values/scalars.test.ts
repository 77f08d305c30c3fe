import { describe, expect, test } from 'vitest'
import { packShared, packValue, unpackValue } from './index.ts'
import { notSmall, packSmall, unpackSmall, unpackSmallList } from './scalars.ts'

const scalars: readonly unknown[] = [
  ...[0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 60],
  ...[-1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, 0.5, 1e300, 5e-324],
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  ...['', 'a', ' ~\u0000', 'a'.repeat(31), 'a'.repeat(32), 'a'.repeat(200)],
  ...[true, false, null, undefined],
]
const lists = [[], scalars.slice(0, 15), ...scalars.map((value) => [value]), [1, 'two', null, undefined, 0.5]]

describe('WP9: small values by hand', () => {
  test('WP9: are packed to the same bytes as all others', () => {
    for (const value of [...scalars, ...lists]) {
      const bytes = [...packValue(value)]
      expect([...(packSmall(value) ?? [])]).toEqual(bytes)
      expect([...packShared(value)]).toEqual(bytes)
    }
  })

  test('WP9: are read as all others are', () => {
    for (const value of [...scalars, ...lists]) {
      expect(unpackSmall(packValue(value))).toEqual(value)
      expect(unpackValue(packValue(value))).toEqual(value)
    }
    for (const list of lists) expect(unpackSmallList(packValue(list))).toEqual(list)
  })

  test('WP9: what is not small, or nothing good, is left to the general way', () => {
    const long = 'a'.repeat(300)
    const others = [
      -0,
      [-0],
      'ü',
      long,
      1n,
      [[1]],
      { a: 1 },
      new Date(0),
      new Uint8Array(2),
      lists[1]?.concat(1),
    ]
    for (const value of others) {
      expect(packSmall(value)).toBeNull()
      expect(unpackSmall(packValue(value))).toBe(notSmall)
      expect(unpackValue(packShared(value))).toEqual(value)
    }
    for (const bytes of [
      [],
      [0xc1],
      [0x91],
      [0x92, 1],
      [1, 1],
      [0xa2, 65],
      [0xcb, 1],
      [0xd4, 0, 1],
      [0xdc, 0, 0],
    ])
      expect(unpackSmall(Uint8Array.from(bytes))).toBe(notSmall)
  })
})
