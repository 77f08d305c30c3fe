/** An error as plain data: what crosses workers, links and documents. */
export interface ErrorRecord {
  readonly name: string
  readonly message: string
  /** Stable code: `E_…` for Shoal's own errors, or whatever `code` a user's error carried. */
  readonly code: string | null
  readonly stack: string | null
  readonly cause: ErrorRecord | null
  /** The error's own enumerable fields, packed by the shell; `null` when it has none. */
  readonly fields: Uint8Array | null
}

/**
 * Every error that Shoal itself raises.
 *
 * @example
 * try { await task } catch (error) {
 *   if (error instanceof ShoalError && error.code === 'E_TASK_TIMEOUT') retryLater()
 * }
 */
export class ShoalError extends Error {
  override readonly name: string = 'ShoalError'
  /** Stable code, listed in docs/ERRORS.md. */
  readonly code: string
  /** The bounded history of the task, service or peer that the error is about, oldest first. */
  readonly story: readonly string[]
  /** Facts about the failure, by name. */
  readonly data: Readonly<Record<string, unknown>>

  constructor(
    code: string,
    message: string,
    options: {
      readonly cause?: unknown
      readonly story?: readonly string[]
      readonly data?: Readonly<Record<string, unknown>>
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.story = options.story ?? []
    this.data = options.data ?? {}
  }
}

/** Builds the plain form of an error that Shoal itself found (no stack, no fields). */
export function errorRecord(code: string, message: string, cause: ErrorRecord | null = null): ErrorRecord {
  return { name: 'ShoalError', message, code, stack: null, cause, fields: null }
}

/** Raised where the program itself is wrong; reaching it is a bug in Shoal, never in a user's task. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new ShoalError('E_INVARIANT', message)
}
