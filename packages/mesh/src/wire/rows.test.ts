import { ShoalError } from '@shoal/scheduler'
import { expect, test } from 'vitest'
import { readRows, writeRows } from './rows.ts'

const numbers = [0, 1, 127, 128, 16_383, 2 ** 31 - 1, 2 ** 31, 2 ** 42 + 1, Number.MAX_SAFE_INTEGER]

test('rows give back every number, whatever was expected, and bytes of any length', () => {
  const values = [0, 1, 32, 33, 200_000].map((length) => Uint8Array.from({ length }, (_, i) => i * 3))
  const writer = writeRows()
  for (const value of numbers) {
    writer.uint(value)
    for (const expected of numbers) writer.near(value, expected)
  }
  for (const value of values) writer.bytes(value)
  const reader = readRows(writer.take())
  for (const value of numbers) {
    expect(reader.uint('a number')).toBe(value)
    for (const expected of numbers) expect(reader.near('a number', expected)).toBe(value)
  }
  for (const value of values) expect(reader.bytes('bytes')).toEqual(value)
  expect(reader.isAtEnd).toBe(true)
})

test('a number that is as expected costs one byte', () => {
  const writer = writeRows()
  for (let at = 0; at < 100; at++) writer.near(2 ** 42 + at, 2 ** 42 + at)
  expect(writer.take()).toHaveLength(100)
})

test.each([
  ['a number that does not end', [0x80, 0x80], (rows) => rows.uint('x')],
  ['a number of 2^53', [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10], (rows) => rows.uint('x')],
  ['a number that goes on for ever', Array.from({ length: 100 }, () => 0x80), (rows) => rows.uint('x')],
  ['a number above its limit', [9], (rows) => rows.uint('x', 8)],
  ['a number below zero', [2], (rows) => rows.near('x', 0)],
  ['a number behind the end', [], (rows) => rows.uint('x')],
  ['fewer bytes than named', [3, 1, 2], (rows) => rows.bytes('x')],
] satisfies [string, number[], (rows: ReturnType<typeof readRows>) => unknown][])(
  'rows refuse %s',
  (_name, bytes, read) => {
    expect(() => read(readRows(Uint8Array.from(bytes)))).toThrow(ShoalError)
    expect(() => read(readRows(Uint8Array.from(bytes)))).toThrow(/Cannot read x/)
  },
)
