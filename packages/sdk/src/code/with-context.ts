import { ShoalError } from '@shoal/scheduler'

const body: unique symbol = Symbol('shoal.context-body')

/** A function marked as taking the task's context before its arguments. */
export interface ContextMark {
  readonly [body]: (...args: never[]) => unknown
}

/** Marks a function: its body gets the context first. The mark travels with the operation. */
export function markContext(fn: (...args: never[]) => unknown): ContextMark {
  if (typeof fn !== 'function') {
    throw new ShoalError(
      'E_CODE',
      `Cannot mark a body as it must be a function: current value is ${typeof fn}`,
    )
  }
  return Object.freeze({ [body]: fn })
}

/** The function that {@link markContext} marked; `null` for anything else. */
export function markedBody(value: unknown): ((...args: never[]) => unknown) | null {
  return typeof value === 'object' && value !== null && body in value ? (value as ContextMark)[body] : null
}
