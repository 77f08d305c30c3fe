import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { JobId } from '@shoal/scheduler'
import { describe, expect, test } from 'vitest'
import { CancelledError, SchedulingError, ShoalError, taskFailed } from './errors.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))

function codesInSources(): Set<string> {
  const codes = new Set<string>()
  for (const folder of ['packages/scheduler/src', 'packages/mesh/src', 'packages/sdk/src', 'apps/demo/src']) {
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
      if (!/\.tsx?$/.test(name) || /\.test\.ts|(^|\/)testing\//.test(name)) continue
      for (const [, code] of readFileSync(join(root, folder, name), 'utf8').matchAll(/'(E_[A-Z][A-Z_]+)'/g)) {
        if (code !== undefined) codes.add(code)
      }
    }
  }
  return codes
}

test('docs/ERRORS.md lists every code that the sources raise', () => {
  const page = readFileSync(join(root, 'docs/ERRORS.md'), 'utf8')
  const listed = new Set([...page.matchAll(/`(E_[A-Z_]+)`/g)].map(([, code]) => code))
  const missing = [...codesInSources()].filter((code) => !listed.has(code))
  expect(missing).toEqual([])
})

describe('the errors that users branch on', () => {
  const ref = { job: 'job' as JobId, no: 2 }
  const origin = { job: 'job' as JobId, no: 1 }
  const record = { name: 'Error', message: 'no', code: null, stack: null, cause: null, fields: null }

  test('a failed task names itself, the task that failed first, and the peer', () => {
    const outcome = {
      status: 'failed',
      error: record,
      origin,
      attempts: 2,
      peer: 'p1',
      processor: null,
    } as const
    const error = taskFailed(ref, outcome, new Error('no'), ['one'])
    expect(error).toBeInstanceOf(ShoalError)
    expect(error).toMatchObject({
      code: 'E_TASK_FAILED',
      taskId: 'job/2',
      originTaskId: 'job/1',
      attempts: 2,
    })
    for (const part of ['job/2', 'job/1', 'p1', 'no']) expect(error.message).toContain(part)
    expect(error.story).toEqual(['one'])
  })

  test('a failure that Shoal found keeps its code', () => {
    const found = { ...record, name: 'ShoalError', code: 'E_TASK_TIMEOUT' }
    const outcome = {
      status: 'failed',
      error: found,
      origin: ref,
      attempts: 1,
      peer: null,
      processor: null,
    } as const
    expect(taskFailed(ref, outcome, new Error('no')).code).toBe('E_TASK_TIMEOUT')
  })

  test('cancellation and scheduling errors carry their task', () => {
    expect(new CancelledError('job/1', 'stop')).toMatchObject({
      code: 'E_CANCELLED',
      reason: 'stop',
      taskId: 'job/1',
    })
    expect(new CancelledError(null, 'bye', { code: 'E_CLOSED' })).toMatchObject({ code: 'E_CLOSED' })
    expect(new SchedulingError('E_SCOPE', 'm', 'job/1')).toMatchObject({
      name: 'SchedulingError',
      code: 'E_SCOPE',
    })
  })
})
