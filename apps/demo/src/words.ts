import type { MeshHealth } from './mesh-session.ts'

/** What went wrong and what to do, in words for people; `detail` is for whoever repairs it. */
export interface Problem {
  readonly title: string
  readonly advice: string
  readonly detail: string
}

const known: Readonly<Record<string, readonly [title: string, advice: string]>> = {
  E_INVITE: [
    'This invite link is not complete',
    'Ask for it again and copy the whole link, or scan the code once more.',
  ],
  E_AUTH: ['This invite link does not open the room', 'It may be an old one: ask for a new link.'],
  E_VERSION: [
    'This page and the room are of different versions',
    'Reload the page. If that does not help, update the program that opened the room.',
  ],
  E_FORBIDDEN: [
    'Your invite is for lending only',
    'To start pictures, ask for a member link. Lending works as it is.',
  ],
  E_INSECURE_CONTEXT: [
    'This browser needs a secure address for that',
    'Open the page over https, or as localhost on the device that runs the room.',
  ],
}

/** What to say while, or because, the room's signalling cannot be reached. */
export const signallingAway: readonly [title: string, advice: string] = [
  'The meeting point does not answer',
  'Check that the program that opened the room still runs, and that this device is in its network. Then try again.',
]

const signallingCodes = new Set(['E_SIGNAL', 'E_DIAL', 'E_JOIN_TIMEOUT'])

/** Puts an error in words. */
export function problemOf(error: unknown): Problem {
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  const [title, advice] =
    known[code] ??
    (signallingCodes.has(code)
      ? signallingAway
      : ['Something went wrong', 'Try again; if it stays, reload the page.'])
  return { title, advice, detail: code === '' ? message : `${code}: ${message}` }
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  return typeof code === 'string' ? code : ''
}

/** The state of the connection in one line. */
export function healthLine(health: MeshHealth, isAlone: boolean): string {
  if (isAlone) return `On your own: no network. ${lent(health.processors)}`
  const others = Math.max(0, health.peers - 1)
  const line =
    others === 0 ? 'Connected. Nobody else is here yet.' : `Connected to ${count(others, 'other')}.`
  if (!health.isOnline) {
    return others === 0
      ? 'The meeting point is away. Trying to reach it again.'
      : `${line} The meeting point is away: those here go on, nobody new can join. ${lent(health.processors)}`
  }
  return `${line} ${lent(health.processors)}`
}

/** `1 tile`, `2 tiles`. */
export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

function lent(processors: number): string {
  return processors === 0 ? 'No processor is lent.' : `${count(processors, 'processor')} lent.`
}
