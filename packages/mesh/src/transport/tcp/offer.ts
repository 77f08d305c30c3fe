import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { ShoalError } from '@shoal/scheduler'
import { LINE_HOSTS_MAX, LINE_TEXT_CHARS_MAX } from '../limits.ts'
import type { Credentials } from './proof.ts'

/** Where a peer listens, and how to prove oneself there. Without hosts it only calls others. */
export interface Offer extends Credentials {
  readonly hosts: readonly string[]
  readonly port: number
}

/** What two ends of a link tell each other about lines, as text between the binary messages. */
export type LineText =
  | ({ readonly type: 'offer' } & Offer)
  /** Your turn to call: this end cannot. */
  | { readonly type: 'call' }
  /** What follows comes over this line. */
  | { readonly type: 'moved'; readonly line: number }
  /** This line is gone; so many of its messages were taken in. */
  | { readonly type: 'broken'; readonly line: number; readonly taken: number }

/**
 * @throws ShoalError `E_SCHEMA`
 */
export function readLineText(text: string): LineText {
  const fields = text.length <= LINE_TEXT_CHARS_MAX ? parsed(text) : null
  if (fields !== null) {
    const { type, line, taken, id, key, hosts, port } = fields
    if (type === 'call') return { type }
    if (type === 'moved' && isCount(line)) return { type, line }
    if (type === 'broken' && isCount(line) && isCount(taken)) return { type, line, taken }
    if (type === 'offer' && isHex(id, 32) && isHex(key, 64) && isHosts(hosts) && isPort(port))
      return { type, id, key, hosts, port }
  }
  const shown = JSON.stringify(text.slice(0, 60))
  throw new ShoalError('E_SCHEMA', `Cannot read what a peer says of its lines as it is malformed: ${shown}`)
}

export function isLoopback(host: string): boolean {
  return host === '::1' || host === 'localhost' || (isIP(host) === 4 && host.startsWith('127.'))
}

/** Loopback, and the ranges that no router passes on: link-local, private (RFC 1918), unique local. */
export function isPrivate(host: string): boolean {
  if (isLoopback(host)) return true
  if (isIP(host) === 6) return /^(fe[89ab]|f[cd])/i.test(host)
  return isIP(host) === 4 && /^(10\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.)/.test(host)
}

/** The addresses under which others find who listens on `host`. */
export function hostsOf(host: string): readonly string[] {
  if (host !== '0.0.0.0' && host !== '::') return [host]
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal, address, family }) => {
      // A link-local IPv6 address means nothing without the name of this machine's interface.
      const isUsable = family === 'IPv4' || (host === '::' && !/^fe[89ab]/i.test(address))
      return !internal && isUsable
    })
    .map(({ address }) => address)
    .slice(0, LINE_HOSTS_MAX)
}

function parsed(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
  } catch {
    return null
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isHex(value: unknown, length: number): value is string {
  return typeof value === 'string' && value.length === length && /^[0-9a-f]+$/.test(value)
}

function isHosts(value: unknown): value is readonly string[] {
  if (!Array.isArray(value) || value.length > LINE_HOSTS_MAX) return false
  return value.every((host) => typeof host === 'string' && isIP(host) !== 0)
}

function isPort(value: unknown): value is number {
  return isCount(value) && value < 65_536
}
