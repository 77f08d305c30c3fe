import {
  defaultTaskOptions,
  matchesScope,
  type ProcessorId,
  type Scope,
  type ShoalError,
} from '@shoal/scheduler'
import { describe, expect, test } from 'vitest'
import { kernel } from './kernel.ts'
import { checkMapOptions, checkTaskOptions, mergeTaskOptions, toOptionsRecord } from './options.ts'
import { scope } from './scope.ts'
import type { TaskOptions } from './types.ts'

function refusalOf(options: unknown): string {
  try {
    checkTaskOptions(options as TaskOptions)
  } catch (error) {
    expect((error as ShoalError).code).toBe('E_OPTION')
    return (error as ShoalError).message
  }
  throw new Error('the options were accepted')
}

const gpu = { id: 'a/webgpu/0' as ProcessorId, kind: 'webgpu', isDefault: false, score: 1 }

describe('options of tasks', () => {
  test('good options pass', () => {
    checkTaskOptions({})
    checkTaskOptions({
      peer: 'p1',
      scope: scope.union(scope.kind('worker'), scope.intersect(scope.any(), scope.peer('p2'))),
      name: 'n',
      priority: -1,
      retry: { max: 3, backoffMs: 10 },
      timeoutMs: 1,
      after: [],
      signal: new AbortController().signal,
    })
    checkTaskOptions({ peer: undefined } as unknown as TaskOptions)
    checkMapOptions({ batch: 'auto', priority: 2 })
  })

  test.each([
    [{ retries: 3 }, 'retries'],
    [{ constructor: 3 }, 'constructor'],
    [{ peer: '' }, 'peer'],
    [{ peer: 7 }, 'peer'],
    [{ scope: 'worker' }, 'scope'],
    [{ scope: { type: 'node' } }, 'scope'],
    [{ scope: { type: 'union', scopes: [null] } }, 'scope'],
    [{ name: '' }, 'name'],
    [{ priority: Number.NaN }, 'priority'],
    [{ priority: '1' }, 'priority'],
    [{ retry: 3 }, 'retry'],
    [{ retry: {} }, 'retry.max'],
    [{ retry: { max: -1 } }, 'retry.max'],
    [{ retry: { max: 1, backoffMs: 0.5 } }, 'retry.backoffMs'],
    [{ timeoutMs: -1 }, 'timeoutMs'],
    [{ timeoutMs: 2 ** 31 }, 'timeoutMs'],
    [{ after: 'task' }, 'after'],
    [{ signal: {} }, 'signal'],
  ])('%j is refused and named', (options, name) => {
    expect(refusalOf(options)).toContain(`"${name}"`)
  })

  test('a refusal says what was wanted and what was given', () => {
    expect(refusalOf({ timeoutMs: '5' })).toBe(
      'Cannot use option "timeoutMs" as it must be a whole number of milliseconds from 0 to 2147483647: current value is "5"',
    )
  })

  test('the nearer layer wins, one option at a time', () => {
    expect(mergeTaskOptions({ priority: 1, timeoutMs: 5 }, undefined, { priority: 2 })).toEqual({
      priority: 2,
      timeoutMs: 5,
    })
    expect(mergeTaskOptions({ priority: 1 }, { priority: undefined } as unknown as TaskOptions)).toEqual({
      priority: 1,
    })
  })

  test('where a task runs is one decision: the nearer layer makes it whole', () => {
    expect(mergeTaskOptions({ peer: 'a' }, { scope: scope.any() })).toEqual({ scope: { type: 'any' } })
    expect(mergeTaskOptions({ scope: scope.any() }, { peer: 'a' })).toEqual({ peer: 'a' })
  })

  test('equal options share one frozen record', () => {
    const options = (): TaskOptions => ({ peer: 'a', retry: { max: 2 }, priority: 1 })
    const record = toOptionsRecord(options())
    expect(toOptionsRecord(options())).toBe(record)
    expect(Object.isFrozen(record)).toBe(true)
    expect(record).toMatchObject({ retryMax: 2, retryBackoffMs: 0, priority: 1, timeoutMs: 0 })
    expect(toOptionsRecord({})).toBe(defaultTaskOptions)
  })

  test('naming a peer keeps processors out that have to be asked for', () => {
    expect(toOptionsRecord({ peer: 'a' }).scope).toEqual({
      type: 'intersect',
      scopes: [{ type: 'peer', peer: 'a' }, { type: 'default' }],
    })
    expect(toOptionsRecord({ peer: 'a', scope: scope.kind('mine') }).scope).toEqual({
      type: 'intersect',
      scopes: [
        { type: 'peer', peer: 'a' },
        { type: 'kind', kind: 'mine' },
      ],
    })
  })

  test.each([
    scope.any(),
    scope.peer('a'),
    scope.union(scope.kind('webgpu'), scope.kind('mine')),
    scope.union(scope.kind('mine'), scope.any()),
    scope.except(scope.kind('worker')),
  ])('[GP2] what is no kernel stays away from GPUs in scope %j, and from nothing else', (wide) => {
    const { scope: chosen } = toOptionsRecord({ scope: wide })
    expect(matchesScope(wide, gpu)).toBe(true)
    expect(matchesScope(chosen, gpu)).toBe(false)
    const mine = { id: 'a/mine/0' as ProcessorId, kind: 'mine', isDefault: false, score: 1 }
    expect(matchesScope(chosen, mine)).toBe(true)
  })

  test.each([
    scope.kind('webgpu'),
    scope.processor('a/webgpu/0'),
    scope.union(scope.kind('webgpu'), scope.processor('a/webgpu/0')),
    scope.intersect(scope.any(), scope.kind('webgpu')),
    scope.union(),
  ])('[GP2] a scope with nothing but GPUs is refused for what is no kernel: %j', (narrow) => {
    expect(() => toOptionsRecord({ scope: narrow })).toThrow(
      'option "scope" as it must be one with other processors than GPUs, which run kernels only: current value is',
    )
  })

  test.each([
    scope.kind('worker'),
    scope.byDefault(),
    scope.except(scope.kind('webgpu')),
    scope.intersect(scope.peer('a'), scope.kind('worker')),
  ])('[GP2] a scope without GPUs is refused for a kernel without a fallback: %j', (narrow) => {
    const bare = kernel({ wgsl: 'fn f() {}', outputs: ['x'] })
    expect(() => toOptionsRecord({ scope: narrow }, bare.scope)).toThrow(
      'option "scope" as it must be one with GPUs, as a kernel without "fallback" runs nowhere else: current value is',
    )
  })

  test('[GP2] a kernel runs on GPUs, with a fallback also on workers, within its own scope', () => {
    const definition = { wgsl: 'fn f() {}', outputs: ['x' as const] }
    const worker = { id: 'b/worker/0' as ProcessorId, kind: 'worker', isDefault: true, score: 1 }
    const bare = kernel(definition)
    const both = kernel({ ...definition, fallback: () => ({ x: new Float32Array(1) }) })
    const fits = (options: TaskOptions, operation: { readonly scope: Scope }): boolean[] =>
      [gpu, worker].map((one) => matchesScope(toOptionsRecord(options, operation.scope).scope, one))
    expect(fits({}, bare)).toEqual([true, false])
    expect(fits({}, both)).toEqual([true, true])
    expect(fits({ peer: 'b' }, bare)).toEqual([false, false])
    expect(fits({ peer: 'b' }, both)).toEqual([false, true])
    expect(fits({ scope: scope.any() }, bare)).toEqual([true, false])
    expect(fits({ scope: scope.kind('webgpu') }, both)).toEqual([true, false])
  })
})
