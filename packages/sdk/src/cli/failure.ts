import { toJson } from './terminal.ts'

/** What to do about an error, by its code, in a few words. */
const waysOut: Readonly<Record<string, string>> = {
  E_INVITE: 'copy the whole link that "shoal up" printed, in quotes: the part after # is needed',
  E_AUTH: 'the invite is not of this room as it is now: ask for a new one',
  E_SIGNAL: 'is "shoal up" still running there? "shoal doctor <invite>" looks closer',
  E_OFFLINE: 'is "shoal up" still running there? "shoal doctor <invite>" looks closer',
  E_LISTEN: 'choose another port with --port, or --port 0 for any free one',
  E_CODE: 'make the function self-contained: no imports and nothing from around it',
  E_NO_FUNCTION: 'name the export with --export',
  E_FORBIDDEN: 'use a member invite: contributors only lend',
  E_NOT_SERIALIZABLE: 'give and return plain data: numbers, text, arrays, objects, typed arrays',
}

interface Failure {
  readonly code: string
  readonly message: string
  readonly fix: string | null
}

/** An error as code, one line and a way out. */
export function failureOf(error: unknown): Failure {
  const record = (typeof error === 'object' && error !== null ? error : {}) as {
    code?: unknown
    message?: unknown
    data?: { fix?: unknown }
  }
  const code = typeof record.code === 'string' ? record.code : 'E_FAILED'
  const message = typeof record.message === 'string' ? record.message : String(error)
  const own = record.data?.fix
  return {
    code,
    message: message.split('\n')[0] ?? '',
    fix: typeof own === 'string' ? own : (waysOut[code] ?? null),
  }
}

/** The line that a failed command ends with. */
export function failureLine(error: unknown, isJson: boolean): string {
  const failure = failureOf(error)
  if (isJson) return toJson({ error: failure })
  const fix = failure.fix === null ? '' : `. To fix: ${failure.fix}`
  return `shoal: ${failure.code}: ${failure.message}${fix}`
}
