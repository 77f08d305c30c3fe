import { describe, expect, test } from 'vitest'
import type { PeerId, ProcessorId } from './ids.ts'
import { intersection, matchesScope, peersOfScope, type Scope, scopeKey } from './scope.ts'

const any: Scope = { type: 'any' }
const byDefault: Scope = { type: 'default' }
const gpus: Scope = { type: 'kind', kind: 'webgpu' }
const on = (peer: string): Scope => ({ type: 'peer', peer: peer as PeerId })
const at = (processor: string): Scope => ({ type: 'processor', processor: processor as ProcessorId })
const union = (...scopes: Scope[]): Scope => ({ type: 'union', scopes })
const except = (scope: Scope): Scope => ({ type: 'except', scope })
const intersect = (...scopes: Scope[]): Scope => ({ type: 'intersect', scopes })

describe('peersOfScope()', () => {
  test.each([
    [any, any],
    [byDefault, any],
    [gpus, any],
    [on('a'), on('a')],
    [at('a/worker/0'), on('a')],
    [union(on('a'), on('b')), union(on('a'), on('b'))],
    [union(on('a'), gpus), any],
    [intersect(on('a'), byDefault), on('a')],
    [intersect(gpus, byDefault), any],
    [intersect(union(on('a'), on('b')), at('b/webgpu/0')), intersect(union(on('a'), on('b')), on('b'))],
    [union(), union()],
    [except(gpus), any],
    [except(at('a/worker/0')), any],
    [except(on('a')), except(on('a'))],
    [intersect(on('b'), except(gpus)), on('b')],
  ])('[TS11] %j is %j', (scope, peers) => {
    expect(peersOfScope(scope)).toEqual(peers)
  })

  test('[TS11] holds every processor of the scope', () => {
    const record = { id: 'a/webgpu/0' as ProcessorId, kind: 'webgpu', isDefault: false, score: 1 }
    for (const scope of [
      any,
      gpus,
      on('a'),
      at(record.id),
      union(on('b'), gpus),
      intersect(on('a'), gpus),
      except(on('b')),
    ]) {
      expect(matchesScope(scope, record), scopeKey(scope)).toBe(true)
      expect(matchesScope(peersOfScope(scope), record), scopeKey(scope)).toBe(true)
    }
  })
})

test('[TS11] intersection() names each part once, however deep bodies spawn each other', () => {
  expect(intersection([])).toEqual(any)
  expect(intersection([any, gpus])).toEqual(gpus)
  let scope: Scope = intersect(on('a'), gpus)
  for (let depth = 0; depth < 64; depth++)
    scope = intersection([peersOfScope(scope), intersect(gpus, on('a'))])
  expect(scope).toEqual(intersect(on('a'), gpus))
})
