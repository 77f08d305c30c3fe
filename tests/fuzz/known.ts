import { readFileSync } from 'node:fs'
import { ShoalError } from '@shoal/scheduler'

/** Most CPU time that one case may take, in milliseconds. */
const cpuMsMax = 50

/** `SEED=123` in the environment gives another run; the seed is printed, so that a failure can be repeated. */
export const seed: number = Number(process.env['SEED'] ?? 20_260_101)

/** All codes that a user can look up, but the one for bugs. */
export const knownCodes: ReadonlySet<string> = new Set(
  [...readFileSync(new URL('../../docs/ERRORS.md', import.meta.url), 'utf8').matchAll(/`(E_[A-Z_]+)`/g)]
    .map((match) => match[1] as string)
    .filter((code) => code !== 'E_INVARIANT'),
)

/** Whether what was thrown is a refusal that the documents name. */
export function isKnown(error: unknown): boolean {
  return error instanceof ShoalError && knownCodes.has(error.code)
}

/**
 * Runs one case: it may give a value or a known refusal, and must not take long.
 * @returns the code of the refusal, or `null`
 */
export function tame(body: () => unknown): string | null {
  const before = process.cpuUsage()
  const code = codeOf(body)
  const { user, system } = process.cpuUsage(before)
  // The collector may have had its turn: only a case that is slow each time counts.
  if (user + system > cpuMsMax * 1000 && isSlow(body) && isSlow(body)) {
    throw new Error(`a case takes more than ${cpuMsMax} ms: ${(user + system) / 1000} ms`)
  }
  return code
}

function codeOf(body: () => unknown): string | null {
  try {
    body()
    return null
  } catch (error) {
    if (!isKnown(error)) throw error
    return (error as ShoalError).code
  }
}

function isSlow(body: () => unknown): boolean {
  const before = process.cpuUsage()
  codeOf(body)
  const { user, system } = process.cpuUsage(before)
  return user + system > cpuMsMax * 1000
}
