import {
  defaultScope,
  defaultTaskOptions,
  intersection,
  type PeerId,
  type Scope,
  ShoalError,
  scopeKey,
  type TaskOptionsRecord,
} from '@shoal/scheduler'
import type { MapOptions, TaskOptions } from './types.ts'

/** Longest time-out that every platform's timers can hold. */
const timeoutMsMax = 2 ** 31 - 1
const nameLengthMax = 200
/** Distinct records kept for sharing; beyond it sharing starts anew. */
const internedMax = 1_000

function refuse(name: string, desired: string, actual: unknown): never {
  throw new ShoalError(
    'E_OPTION',
    `Cannot use option "${name}" as it must be ${desired}: current value is ${describe(actual)}`,
    { data: { option: name } },
  )
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80))
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return String(value)
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

const scopeTypes = new Set(['default', 'any', 'peer', 'kind', 'processor', 'union', 'intersect', 'except'])

function isScope(value: unknown, depth = 0): boolean {
  if (typeof value !== 'object' || value === null || depth > 8) return false
  const scope = value as Partial<Scope> & { readonly scopes?: unknown; readonly scope?: unknown }
  if (!scopeTypes.has(scope.type ?? '')) return false
  if (scope.type === 'except') return isScope(scope.scope, depth + 1)
  if (scope.type !== 'union' && scope.type !== 'intersect') return true
  return Array.isArray(scope.scopes) && scope.scopes.every((part) => isScope(part, depth + 1))
}

/** One check for each option: says nothing or throws `E_OPTION`. */
const checks: { readonly [K in keyof TaskOptions]-?: (value: unknown) => void } = {
  peer: (value) => {
    if (typeof value !== 'string' || value === '') refuse('peer', 'the id of a peer', value)
  },
  scope: (value) => {
    if (!isScope(value)) refuse('scope', 'made by scope.any(), scope.peer(id), ...', value)
  },
  name: (value) => {
    if (typeof value !== 'string' || value === '' || value.length > nameLengthMax)
      refuse('name', `a text of 1 to ${nameLengthMax} characters`, value)
  },
  priority: (value) => {
    if (!Number.isFinite(value)) refuse('priority', 'a finite number', value)
  },
  retry: (value) => {
    const retry = value as TaskOptions['retry']
    if (typeof retry !== 'object' || retry === null) refuse('retry', '{ max, backoffMs? }', value)
    if (!isCount(retry.max)) refuse('retry.max', 'a whole number from 0', retry.max)
    if (!isCount(retry.backoffMs ?? 0))
      refuse('retry.backoffMs', 'a whole number of milliseconds from 0', retry.backoffMs)
  },
  timeoutMs: (value) => {
    if (!isCount(value) || (value as number) > timeoutMsMax)
      refuse('timeoutMs', `a whole number of milliseconds from 0 to ${timeoutMsMax}`, value)
  },
  after: (value) => {
    if (!Array.isArray(value)) refuse('after', 'an array of tasks', value)
  },
  signal: (value) => {
    if (typeof (value as AbortSignal | null)?.addEventListener !== 'function')
      refuse('signal', 'an AbortSignal', value)
  },
}

/**
 * Checks options at the call that gave them.
 * @throws ShoalError `E_OPTION` for an unknown name or a bad value
 */
export function checkTaskOptions(options: TaskOptions): void {
  if (typeof options !== 'object' || options === null) refuse('options', 'an object', options)
  for (const [name, value] of Object.entries(options)) {
    const check = checks[name as keyof TaskOptions]
    if (!Object.hasOwn(checks, name)) refuse(name, `one of ${Object.keys(checks).join(', ')}`, value)
    if (value !== undefined) check(value)
  }
}

/**
 * Checks the options of a map.
 * @throws ShoalError `E_OPTION` for an unknown name or a bad value
 */
export function checkMapOptions({ batch, ...options }: MapOptions): void {
  if (batch !== undefined && batch !== 'auto') refuse('batch', '"auto"', batch)
  checkTaskOptions(options)
}

/** Later options win, one by one; `undefined` leaves the earlier value. */
export function mergeTaskOptions(...layers: readonly (TaskOptions | undefined)[]): TaskOptions {
  const merged: { -readonly [K in keyof TaskOptions]: TaskOptions[K] } = {}
  for (const layer of layers) {
    if (layer === undefined) continue
    // A peer or a scope is one decision: where. The nearer layer makes it whole.
    if (layer.peer !== undefined || layer.scope !== undefined) {
      delete merged.peer
      delete merged.scope
    }
    const given = Object.entries(layer).filter(([, value]) => value !== undefined)
    Object.assign(merged, Object.fromEntries(given))
  }
  return merged
}

/**
 * Where a task may run: what its operation can use, within what its options ask for. Naming a peer does not
 * switch on processors that have to be asked for.
 * @throws ShoalError `E_OPTION` the scope has nothing that can run the operation
 */
function scopeOf(options: TaskOptions, operationScope: Scope): Scope {
  const { peer, scope } = options
  const isKernel = operationScope !== defaultScope
  const parts: Scope[] = []
  if (peer !== undefined) parts.push({ type: 'peer', peer: peer as PeerId })
  if (scope !== undefined) {
    parts.push(scope)
    const reach = reachOf(scope)
    if ((reach & (isKernel ? reachOf(operationScope) : others)) === 0) refuseScope(scope, isKernel)
    if (!isKernel && (reach & gpus) !== 0) parts.push(noGpus)
  }
  if (scope === undefined || isKernel) parts.push(operationScope)
  return intersection(parts)
}

const noGpus: Scope = Object.freeze({
  type: 'except',
  scope: Object.freeze({ type: 'kind', kind: 'webgpu' }),
})

function refuseScope(scope: Scope, isKernel: boolean): never {
  const wanted = isKernel
    ? 'one with GPUs, as a kernel without "fallback" runs nowhere else'
    : 'one with other processors than GPUs, which run kernels only'
  return refuse('scope', wanted, scopeKey(scope))
}

/** What may be in a scope, as bits. */
const gpus = 1
const others = 2

function reachOf(scope: Scope): number {
  switch (scope.type) {
    case 'default':
      return others
    case 'any':
    case 'peer':
      return gpus | others
    case 'kind':
      return scope.kind === 'webgpu' ? gpus : others
    case 'processor':
      return scope.processor.includes('/webgpu/') ? gpus : others
    case 'union':
      return scope.scopes.reduce((reach, part) => reach | reachOf(part), 0)
    case 'intersect':
      return scope.scopes.reduce((reach, part) => reach & reachOf(part), gpus | others)
    case 'except':
      // Of all GPUs together nothing is left; of other processors there may be more than are named.
      return scope.scope.type === 'kind' && scope.scope.kind === 'webgpu' ? others : gpus | others
  }
}

const interned = new Map<string, TaskOptionsRecord>()

/** The scheduler's form of merged options. Equal options give the same frozen object. */
export function toOptionsRecord(
  options: TaskOptions,
  operationScope: Scope = defaultScope,
): TaskOptionsRecord {
  const record: TaskOptionsRecord = {
    name: options.name ?? null,
    scope: scopeOf(options, operationScope),
    priority: options.priority ?? 0,
    retryMax: options.retry?.max ?? 0,
    retryBackoffMs: options.retry?.backoffMs ?? 0,
    timeoutMs: options.timeoutMs ?? 0,
  }
  const key = JSON.stringify(record)
  if (key === defaultKey) return defaultTaskOptions
  const known = interned.get(key)
  if (known !== undefined) return known
  if (interned.size >= internedMax) interned.clear()
  Object.freeze(record)
  interned.set(key, record)
  return record
}

const defaultKey = JSON.stringify(defaultTaskOptions)
