import { type Consistency, type Durability, ShoalError } from '@shoal/scheduler'
import type { LookupOptions, ServiceOptions } from './service.types.ts'

/** Options with their defaults. */
export interface ResolvedServiceOptions {
  readonly name: string | null
  readonly peer: string | null
  readonly durability: Durability
  readonly consistency: Consistency
  readonly every: number
  readonly signal: AbortSignal | null
}

const nameLengthMax = 200
/** A journal is copied whole to a new follower: bounds how much that is. */
const everyMax = 10_000
/** As long as timers can wait. */
const lookupMsMax = 2 ** 31 - 1
const known = new Set(['name', 'peer', 'durability', 'every', 'consistency', 'signal'])

/** @throws ShoalError `E_OPTION` unknown option or bad value */
export function resolveServiceOptions(options: ServiceOptions): ResolvedServiceOptions {
  if (typeof options !== 'object' || options === null) refuse('options', 'an object', options)
  const stranger = Object.keys(options).find((key) => !known.has(key))
  if (stranger !== undefined) refuse(stranger, `one of ${[...known].join(', ')}`, stranger)
  const {
    name = null,
    peer = null,
    durability = 'snapshot',
    consistency = 'available',
    every = 1_000,
    signal = null,
  } = options
  if (signal !== null && !(signal instanceof AbortSignal)) refuse('signal', 'an AbortSignal', signal)
  if (name !== null && (typeof name !== 'string' || name === '' || name.length > nameLengthMax))
    refuse('name', `a text of 1 to ${nameLengthMax} characters`, name)
  if (peer !== null && (typeof peer !== 'string' || peer === '')) refuse('peer', 'the id of a peer', peer)
  if (!['none', 'snapshot', 'journal'].includes(durability))
    refuse('durability', "'none', 'snapshot' or 'journal'", durability)
  if (!['available', 'strict'].includes(consistency))
    refuse('consistency', "'available' or 'strict'", consistency)
  if (!Number.isInteger(every) || every < 1 || every > everyMax)
    refuse('every', `a whole number from 1 to ${everyMax}`, every)
  if (durability === 'none' && peer !== null)
    refuse('peer', "left out with durability 'none': nothing of such a service moves", peer)
  return { name, peer, durability, consistency, every, signal }
}

/**
 * How long to look for a service, in milliseconds; `null`: as long as it takes to hear of it.
 * @throws ShoalError `E_OPTION` unknown option or bad value
 */
export function resolveLookupTimeout(options: LookupOptions): number | null {
  const stranger = Object.keys(options).find((key) => key !== 'timeoutMs')
  if (stranger !== undefined) refuse(stranger, 'timeoutMs', stranger)
  const { timeoutMs = null } = options
  if (timeoutMs === null) return null
  if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0 && timeoutMs <= lookupMsMax))
    refuse('timeoutMs', `a number from 0 to ${lookupMsMax}`, timeoutMs)
  return timeoutMs
}

/** @throws ShoalError `E_OPTION` no list */
export function checkServiceArguments(args: unknown): void {
  if (!Array.isArray(args)) refuse('args', 'the list of what the constructor takes', args)
}

/** @throws ShoalError `E_OPTION` no text that a service could be named by */
export function checkLookupName(name: unknown): void {
  if (typeof name !== 'string' || name === '' || name.length > nameLengthMax)
    refuse('name', `a text of 1 to ${nameLengthMax} characters`, name)
}

/** @throws ShoalError `E_OPTION` no id */
export function checkTarget(peer: unknown): void {
  if (typeof peer !== 'string' || peer === '') refuse('peer', 'the id of a peer', peer)
}

function refuse(name: string, desired: string, actual: unknown): never {
  const text = `Cannot use option "${name}" as it must be ${desired}: current value is ${String(actual)}`
  throw new ShoalError('E_OPTION', text, { data: { option: name } })
}
