import type { Apart } from '../values/index.ts'
import type { BodyContext } from './body-context.ts'
import type { CallExtra } from './protocol.ts'

/** Values, or an array of them that is packed. */
export type Arguments = readonly unknown[] | Uint8Array | Apart

/** A body that runs, unless it ended at once: that needs no record. */
export interface RunningCall {
  readonly callId: number
  readonly args: Arguments
  readonly extra: CallExtra | null
  readonly startedAt: number
  context: BodyContext | null
  isAborted: boolean
  /** Lets the next call start while this one waits for tasks. */
  release: (() => void) | null
  /** It waited for tasks before it gave its promise back: `release` came too late for that. */
  hasYielded: boolean
}

export function runningCall(
  callId: number,
  args: Arguments,
  extra: CallExtra | null,
  startedAt: number,
): RunningCall {
  return { callId, args, extra, startedAt, context: null, isAborted: false, release: null, hasYielded: false }
}

export function isList(args: Arguments): args is readonly unknown[] {
  return Array.isArray(args)
}

/** Small whole numbers cross threads cheaper than fractions. */
export function toMicroseconds(ms: number): number {
  return Math.round(ms * 1000)
}

export function isScalar(value: unknown): boolean {
  const type = typeof value
  return type === 'number' || type === 'string' || type === 'boolean' || value === undefined || value === null
}

/** Of scalars. */
export function isSmall(value: unknown): boolean {
  return typeof value !== 'string' || value.length <= 64
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  try {
    return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
  } catch {
    // A value that throws when it is looked at: packing it says so.
    return false
  }
}
