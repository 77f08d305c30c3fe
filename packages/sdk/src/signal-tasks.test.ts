import { expect, test } from 'vitest'
import { signalTasks } from './signal-tasks.ts'

function fakeTask(): { isFinished: boolean; reasons: string[]; cancel(reason: string): void } {
  const reasons: string[] = []
  return { isFinished: false, reasons, cancel: (reason) => reasons.push(reason) }
}

test('an abort cancels what has not ended, with its reason', () => {
  const controller = new AbortController()
  const tasks = signalTasks(controller.signal)
  const [open, ended] = [fakeTask(), fakeTask()]
  tasks.add(open)
  tasks.add(ended)
  ended.isFinished = true
  expect(tasks.reason()).toBeNull()
  controller.abort(new Error('enough'))
  expect(open.reasons).toEqual(['enough'])
  expect(ended.reasons).toEqual([])
  expect(tasks.reason()).toBe('enough')
})

test('one signal has one listener, whoever asks', () => {
  const { signal } = new AbortController()
  expect(signalTasks(signal)).toBe(signalTasks(signal))
})

test('ended tasks are let go of now and then', () => {
  const controller = new AbortController()
  const tasks = signalTasks(controller.signal)
  let asked = 0
  const counted = (): { readonly isFinished: boolean; cancel(): void } => ({
    get isFinished() {
      asked++
      return true
    },
    cancel: () => {},
  })
  for (let index = 0; index < 10_000; index++) tasks.add(counted())
  const before = asked
  controller.abort()
  expect(asked - before).toBeLessThan(256)
})
