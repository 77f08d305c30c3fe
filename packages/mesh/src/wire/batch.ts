import {
  type Assignment,
  type AttemptOutcome,
  type AttemptResult,
  errorRecord,
  type Message,
  type MessageOf,
  type Outcome,
  type Payload,
  ShoalError,
  type SliceAssignment,
} from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { packBody } from './body.ts'
import { writeUint32 } from './frames.ts'
import { writeMessage } from './messages.ts'

/**
 * Packs messages into as few bodies of `messages` frames as fit: small ones are joined up to
 * `limits.batchBytes`, lists that are longer are split (every list may arrive in parts), and one
 * entry that is larger than a frame gets a body of its own, which travels over the bulk link.
 * @param onBroken told of each message that cannot be packed; the others go on
 */
export function packMessages(
  messages: readonly Message[],
  onBroken: (message: Message, error: unknown) => void,
): readonly Uint8Array[] {
  const bodies: Uint8Array[] = []
  let pieces: Uint8Array[] = []
  let size = 0
  for (const message of messages) {
    for (const part of splitMessage(message)) {
      const piece = packPart(part, onBroken)
      if (piece === null) continue
      if (size > 0 && size + piece.length > limits.batchBytes) {
        bodies.push(joinPieces(pieces, size))
        pieces = []
        size = 0
      }
      pieces.push(piece)
      size += piece.length
    }
  }
  if (size > 0) bodies.push(joinPieces(pieces, size))
  return bodies
}

/** Cuts a message's list so that each part packs to about `limits.batchBytes` at most. */
export function splitMessage(message: Message): readonly Message[] {
  switch (message.type) {
    case 'assign':
      return parts(message.tasks, assignmentBytes).map((tasks) => ({ ...message, tasks }))
    case 'results':
      return parts(message.results, resultBytes).map((results) => ({ ...message, results }))
    case 'holdings':
      return splitHoldings(message)
    case 'submit':
      return parts(message.requests, (one) => 160 + sizeOf(one.args)).map((requests) => ({
        ...message,
        requests,
      }))
    case 'outcomes':
      return parts(message.outcomes, (one) => outcomeBytes(one.outcome)).map((outcomes) => ({
        ...message,
        outcomes,
      }))
    case 'revoke':
    case 'abort':
    case 'commit':
    case 'audit':
    case 'revoked':
      return parts(message.attempts, smallEntry).map((attempts) => ({ ...message, attempts }))
    case 'submitted':
      return parts(message.accepted, smallEntry).map((accepted) => ({ ...message, accepted }))
    case 'holds': {
      const lists = parts(message.chunks, (one) => 80 + one.id.length)
      return lists.map((chunks) => ({ ...message, chunks, isAll: message.isAll && lists.length === 1 }))
    }
    case 'free':
      return parts(message.chunks, (id) => 2 + id.length).map((chunks) => ({ ...message, chunks }))
    case 'watch':
      return parts(message.nos, smallEntry).map((nos) => ({ ...message, nos }))
    case 'cancel': {
      const { nos } = message
      return nos === null ? [message] : parts(nos, smallEntry).map((some) => ({ ...message, nos: some }))
    }
    case 'service':
      return splitService(message)
    default:
      return [message]
  }
}

function splitService(message: MessageOf<'service'>): readonly Message[] {
  const { body } = message
  switch (body.type) {
    case 'call':
      return parts(body.calls, (one) => 32 + one.method.length + sizeOf(one.args)).map((calls) => ({
        ...message,
        body: { ...body, calls },
      }))
    case 'replies':
      return parts(body.replies, (one) => 8 + outcomeBytes(one.outcome)).map((replies) => ({
        ...message,
        body: { ...body, replies },
      }))
    default:
      return [message]
  }
}

/** In the common case everything fits, and one message says it all: also that there is nothing. */
function splitHoldings(message: MessageOf<'holdings'>): readonly Message[] {
  const entries = message.running.length + message.results.length + message.unknown.length
  const bytes = message.results.reduce((sum, one) => sum + resultBytes(one), 0)
  const all = bytes + message.running.length * 64 + message.unknown.length * smallEntry()
  if (entries <= limits.batchEntriesMax && all <= limits.batchBytes) return [message]
  const none = { ...message, running: [], results: [], unknown: [] }
  return [
    ...listed(message.running, (one) => 16 + one.processor.length).map((running) => ({ ...none, running })),
    ...listed(message.results, resultBytes).map((results) => ({ ...none, results })),
    ...listed(message.unknown, smallEntry).map((unknown) => ({ ...none, unknown })),
  ]
}

function listed<T>(list: readonly T[], bytesOf: (entry: T) => number): readonly (readonly T[])[] {
  return list.length === 0 ? [] : parts(list, bytesOf)
}

function parts<T>(list: readonly T[], bytesOf: (entry: T) => number): readonly (readonly T[])[] {
  const found: (readonly T[])[] = []
  let from = 0
  let size = 0
  for (let at = 0; at < list.length; at++) {
    const bytes = bytesOf(list[at] as T)
    if (at > from && (size + bytes > limits.batchBytes || at - from >= limits.batchEntriesMax)) {
      found.push(list.slice(from, at))
      from = at
      size = 0
    }
    size += bytes
  }
  found.push(from === 0 ? list : list.slice(from))
  return found
}

function packPart(part: Message, onBroken: (message: Message, error: unknown) => void): Uint8Array | null {
  try {
    const piece = packBody(writeMessage(withPackedResults(part)))
    if (piece.length <= limits.messageBytesMax) return piece
    throw new ShoalError(
      'E_TOO_LARGE',
      `Cannot send "${part.type}" as its size in bytes must be at most ${limits.messageBytesMax}: current value is ${piece.length}`,
    )
  } catch (error) {
    onBroken(part, error)
    return null
  }
}

/** A result that cannot be packed must still end its task: it becomes a failure that says so. */
function withPackedResults(message: Message): Message {
  if (message.type !== 'results' && message.type !== 'holdings') return message
  if (message.results.every((result) => brokenBy(result) === null)) return message
  return { ...message, results: message.results.map(failedIfBroken) }
}

function brokenBy(result: AttemptResult): unknown {
  if (result.outcome.status !== 'done') return null
  try {
    const { length } = result.outcome.value.pack()
    if (length <= limits.messageBytesMax - 1024) return null
    return new ShoalError(
      'E_TOO_LARGE',
      `Cannot send a result as its size in bytes must be at most ${limits.messageBytesMax}: current value is ${length}`,
    )
  } catch (error) {
    return error
  }
}

function failedIfBroken(result: AttemptResult): AttemptResult {
  const cause = brokenBy(result)
  if (cause === null) return result
  const code = cause instanceof ShoalError ? cause.code : 'E_NOT_SERIALIZABLE'
  const message = cause instanceof Error ? cause.message : String(cause)
  return { ...result, outcome: { status: 'failed', error: errorRecord(code, message) } }
}

function assignmentBytes(task: Assignment): number {
  const given = 'items' in task ? (task as SliceAssignment).items : task.args
  let bytes = 12 + sizeOf(given)
  for (const input of task.inputs) bytes += 8 + sizeOf(input.value)
  return bytes
}

function resultBytes(result: AttemptResult): number {
  const { outcome } = result
  if (outcome.status !== 'sliced') return 12 + outcomeBytes(outcome)
  return outcome.apart.reduce((sum, item) => sum + outcomeBytes(item.outcome), 12 + sizeOf(outcome.values))
}

function outcomeBytes(outcome: AttemptOutcome | Outcome): number {
  if (outcome.status === 'done') return 8 + sizeOf(outcome.value)
  return outcome.status === 'failed' ? 2048 : 64
}

/** 0 for a payload that cannot be packed: it fails where it is packed for good. */
function sizeOf(payload: Pick<Payload, 'pack'>): number {
  try {
    return payload.pack().length
  } catch {
    return 0
  }
}

function smallEntry(): number {
  return 12
}

/** A MessagePack array of the pieces: each is a packed value already. */
function joinPieces(pieces: readonly Uint8Array[], size: number): Uint8Array {
  const body = new Uint8Array(5 + size)
  body[0] = 0xdd
  writeUint32(body, 1, pieces.length)
  let at = 5
  for (const piece of pieces) {
    body.set(piece, at)
    at += piece.length
  }
  return body
}
