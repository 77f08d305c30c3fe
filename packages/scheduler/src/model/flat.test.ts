import { describe, expect, test } from 'vitest'
import { FlatReader, FlatWriter } from './flat.ts'

const scalars: readonly unknown[] = [
  ...[0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1],
  ...[-1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, 0.5, -1e300, 5e-324],
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
  ...['', 'a', ' ', 'a'.repeat(31), 'a'.repeat(32), 'a'.repeat(255)],
  ...[true, false, null, undefined],
]

function written(write: (writer: FlatWriter) => void): Uint8Array | null {
  const writer = new FlatWriter(1024)
  writer.start(600)
  write(writer)
  return writer.end()
}

describe('WP1: small pieces of MessagePack by hand', () => {
  test('WP1: every scalar comes back as it was', () => {
    const reader = new FlatReader()
    for (const value of scalars) {
      const bytes = written((writer) => writer.scalar(value)) as Uint8Array
      reader.start(bytes)
      expect(reader.scalar()).toBe(value)
      expect(reader.end()).toBe(true)
    }
  })

  test('WP1: what it does not know is odd, and gives nothing', () => {
    for (const value of [-0, 'ü', 'a'.repeat(256), 1n, {}, [], Symbol.iterator, () => 1])
      expect(written((writer) => writer.scalar(value))).toBeNull()
    const reader = new FlatReader()
    for (const bytes of [[], [0xc1], [0xd9, 5, 65], [0xcb, 0], [0xa1], [0xd4, 1, 0], [0x81, 1, 1], [1, 1]]) {
      reader.start(Uint8Array.from(bytes))
      reader.scalar()
      expect(reader.end()).toBe(false)
    }
  })

  test('WP1: a slab is never written twice', () => {
    const writer = new FlatWriter(256)
    const pieces = Array.from({ length: 100 }, (_, at) => {
      writer.start(20, 2)
      writer.text(`piece ${at}`)
      return writer.end() as Uint8Array
    })
    const reader = new FlatReader()
    pieces.forEach((piece, at) => {
      reader.start(piece.subarray(2))
      expect(reader.scalar()).toBe(`piece ${at}`)
    })
  })
})
