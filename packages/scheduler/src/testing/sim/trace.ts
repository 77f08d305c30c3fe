import { mix } from './rng.ts'

/** One sign per kind of event in the log. */
export const traceLegend: Readonly<Record<string, string>> = {
  '!': 'fault',
  '+': 'user action',
  '>': 'message sent',
  '<': 'message delivered',
  x: 'message lost',
  v: 'view changed',
  w: 'records written',
  r: 'records delivered',
  e: 'body started',
  '=': 'call ended',
  s: 'outcome told',
  c: 'copy of a chunk',
  '#': 'broken rule',
}

/** Everything that happens in a world, in order: hashed always, written out when somebody looks. */
export interface Trace {
  /** `number` and the kind go into the hash; `text` is only made for the log. */
  event(kind: string, peer: number, number: number, text: () => string): void
  /** Equal for equal histories. */
  hash(): string
}

/**
 * @param now virtual time
 * @param write takes one aligned line per event; `null`: no log
 */
export function createTrace(now: () => number, write: ((line: string) => void) | null): Trace {
  let low = 0x12345678
  let high = 0x9abcdef0
  if (write !== null) {
    write(
      `legend: ${Object.entries(traceLegend)
        .map(([sign, meaning]) => `${sign} ${meaning}`)
        .join(', ')}`,
    )
  }
  return {
    event(kind, peer, number, text) {
      low = mix(low, (now() * 64) ^ number)
      high = mix(high, low ^ (kind.charCodeAt(0) << 8) ^ peer)
      if (write === null) return
      const time = now().toFixed(3).padStart(11)
      write(`${time} ${peer < 0 ? '  ' : `p${peer}`.padEnd(3)} ${kind} ${text()}`)
    },
    hash: () => low.toString(16).padStart(8, '0') + high.toString(16).padStart(8, '0'),
  }
}
