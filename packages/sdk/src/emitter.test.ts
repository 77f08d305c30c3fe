import { expect, test } from 'vitest'
import { createEmitter } from './emitter.ts'

test('listeners get the detail until they leave; leaving twice is harmless', () => {
  const emitter = createEmitter<{ beat: number }>()
  const seen: number[] = []
  const listener = (beat: number): void => void seen.push(beat)
  const leave = emitter.on('beat', listener)
  const leaveOther = emitter.on('beat', listener)
  emitter.emit('beat', 1)
  leave()
  leave()
  emitter.emit('beat', 2)
  expect(seen).toEqual([1, 1, 2])
  expect(emitter.has('beat')).toBe(true)
  leaveOther()
  expect(emitter.has('beat')).toBe(false)
})

test('a listener that leaves while it is called does not hide the next one', () => {
  const emitter = createEmitter<{ beat: string }>()
  const seen: string[] = []
  const leave = emitter.on('beat', () => leave())
  emitter.on('beat', (beat) => seen.push(beat))
  emitter.emit('beat', 'a')
  expect(seen).toEqual(['a'])
})

test('a listener that throws stops nobody; its error surfaces as uncaught', async () => {
  const emitter = createEmitter<{ beat: string }>()
  const seen: string[] = []
  emitter.on('beat', () => {
    throw new Error('mine')
  })
  emitter.on('beat', (beat) => seen.push(beat))
  const before = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  const uncaught = new Promise((resolve) => process.once('uncaughtException', resolve))
  emitter.emit('beat', 'a')
  const error = await uncaught
  for (const listener of before) process.on('uncaughtException', listener)
  expect(error).toEqual(new Error('mine'))
  expect(seen).toEqual(['a'])
})
