import { type Clock, type Link, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { toHex } from '../membership/bytes.ts'
import type { Bulk } from './bulk.ts'
import type { BulkTicket } from './control.ts'
import { type FrameType, frameTypes } from './frames.ts'
import { createPipe, type Pipe } from './pipe.ts'

/** Where bulk links that others opened wait until their peer has vouched for them. */
export interface BulkDoor {
  onLink(link: Link): void
  /** An authenticated peer says that the bulk link with this token is its. Used once. */
  onTicket(ticket: BulkTicket, bulk: Bulk): void
  close(): void
}

/**
 * A bulk link proves itself by a random token that its dialler gave over the authenticated control
 * link, together with the fingerprints that it saw on the bulk link: somebody in between would show others.
 */
export function createBulkDoor(options: {
  readonly clock: Clock
  readonly onRefused: (error: ShoalError, from: string) => void
}): BulkDoor {
  const { clock } = options
  const tickets = new Map<string, { readonly ticket: BulkTicket; readonly bulk: Bulk }>()
  const pipes = new Map<string, { readonly pipe: Pipe; readonly cancel: () => void }>()
  const unknown = new Set<Pipe>()

  function match(token: string): void {
    const given = tickets.get(token)
    const shown = pipes.get(token)
    if (given === undefined || shown === undefined) return
    tickets.delete(token)
    pipes.delete(token)
    shown.cancel()
    if (!isBound(shown.pipe.link, given.ticket)) {
      shown.pipe.end(bindingError())
      return
    }
    given.bulk.adopt(shown.pipe)
    shown.pipe.release()
  }

  function onHello(pipe: Pipe, body: Uint8Array, cancel: () => void): void {
    if (body.length !== 16)
      throw new ShoalError(
        'E_SCHEMA',
        `Cannot read a token as it must be 16 bytes: current value is ${body.length}`,
      )
    pipe.hold()
    unknown.delete(pipe)
    const token = toHex(body)
    pipes.set(token, { pipe, cancel })
    pipe.onClose(() => pipes.delete(token))
    match(token)
  }

  return {
    onLink(link) {
      if (unknown.size + pipes.size >= limits.hellosMax) {
        link.close()
        return
      }
      const cancel = clock.setTimer(clock.now() + limits.helloTimeoutMs, () => pipe.end(timeoutError()))
      const reader = {
        bytesMax: limits.helloBytesMax,
        framesPerS: 16,
        onFrame(type: FrameType, body: Uint8Array) {
          if (type === frameTypes.bulkHello) onHello(pipe, body, cancel)
          else pipe.end(authRequired(type))
        },
      }
      const pipe: Pipe = createPipe({
        link,
        clock,
        reader,
        onRefused: (error) => options.onRefused(error, link.remoteAddress),
      })
      unknown.add(pipe)
      pipe.onClose(() => {
        cancel()
        unknown.delete(pipe)
      })
    },
    onTicket(ticket, bulk) {
      const token = toHex(ticket.token)
      if (tickets.size >= limits.hellosMax) tickets.delete(tickets.keys().next().value as string)
      tickets.set(token, { ticket, bulk })
      clock.setTimer(clock.now() + limits.helloTimeoutMs, () => tickets.delete(token))
      match(token)
    },
    close() {
      for (const pipe of [...unknown, ...[...pipes.values()].map((shown) => shown.pipe)]) pipe.close()
      unknown.clear()
      pipes.clear()
      tickets.clear()
    },
  }
}

function isBound(link: Link, ticket: BulkTicket): boolean {
  const local = link.binding?.local.toUpperCase() ?? null
  const remote = link.binding?.remote.toUpperCase() ?? null
  return (
    remote === (ticket.localFingerprint?.toUpperCase() ?? null) &&
    local === (ticket.remoteFingerprint?.toUpperCase() ?? null)
  )
}

function bindingError(): ShoalError {
  return new ShoalError(
    'E_CHANNEL_BINDING',
    'Cannot accept a bulk link as both ends must see the same link: their fingerprints differ (somebody is in between)',
  )
}

function timeoutError(): ShoalError {
  return new ShoalError(
    'E_HELLO_TIMEOUT',
    `Cannot accept a bulk link as it must prove itself within ${limits.helloTimeoutMs} ms: it did not`,
  )
}

function authRequired(type: number): ShoalError {
  return new ShoalError(
    'E_AUTH_REQUIRED',
    `Cannot read a frame as its bulk link must prove itself first: it sent type ${type}`,
  )
}
