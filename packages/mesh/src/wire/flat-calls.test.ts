import {
  ChunkPayload,
  chunkId,
  errorRecord,
  HoldingPayload,
  type Message,
  type MessageOf,
  PackedPayload,
  type PeerId,
  type ServiceCall,
  type ServiceReply,
} from '@shoal/scheduler'
import { describe, expect, test } from 'vitest'
import { packMessages } from './batch.ts'
import { packBody, unpackBody } from './body.ts'
import { readFlatCalls, writeFlatCalls } from './flat-calls.ts'
import { frameHeaderBytes } from './frames.ts'
import { readMessage } from './messages.ts'

const peer = '0123456789abcdef0123' as PeerId

function callOf(no: number, method: string, args: Uint8Array): ServiceCall {
  return { no, method, args: new PackedPayload(args), via: [] }
}

function replyOf(no: number, value: Uint8Array): ServiceReply {
  return { no, outcome: { status: 'done', value: new PackedPayload(value) } }
}

type Body = MessageOf<'service'>['body']

function about(body: object, service = 'abc-s1'): MessageOf<'service'> {
  return { type: 'service', service, body: body as Body } as MessageOf<'service'>
}

const caller = `${peer}@1`
const numbers = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]
const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, at) => (at * 7) & 0x7f)
const lengths = [0, 1, 2, 31, 32, 255, 256, 3000]
const methods = ['x', 'a'.repeat(31), 'a'.repeat(32), 'a'.repeat(255)]

const flat: readonly MessageOf<'service'>[] = [
  ...numbers.map((no) => about({ type: 'call', caller, open: no, calls: [callOf(no, 'incr', bytesOf(2))] })),
  ...numbers.map((no) => about({ type: 'replies', caller, replies: [replyOf(no, bytesOf(2))] })),
  ...lengths.map((length) => about({ type: 'replies', caller, replies: [replyOf(1, bytesOf(length))] })),
  ...methods.map((method) =>
    about({ type: 'call', caller, open: 1, calls: [callOf(1, method, bytesOf(1))] }, method),
  ),
  about({ type: 'call', caller, open: 1, calls: numbers.map((no) => callOf(no, 'incr', bytesOf(40))) }),
  about({ type: 'replies', caller, replies: numbers.map((no) => replyOf(no, bytesOf(3))) }),
]

const throwing = (error: unknown): never => {
  throw error
}

/** The body as all other messages are packed. */
function generalBody(message: Message): Uint8Array {
  const [body] = packMessages([message], (_message, error) => throwing(error))
  return body as Uint8Array
}

/** What the general reader makes of a body with one message; `null`: it refuses it. */
function readGenerally(body: Uint8Array): Message | null {
  try {
    const [item, more] = unpackBody(body) as unknown[]
    return more === undefined ? readMessage(item, peer) : null
  } catch {
    return null
  }
}

describe('SC5: calls and replies by hand', () => {
  test('SC5: are the same bytes as in general', () => {
    for (const message of flat) {
      const frame = writeFlatCalls(message)
      expect(frame?.subarray(frameHeaderBytes)).toEqual(generalBody(message))
    }
  })

  test('SC5: mean the same as in general', () => {
    for (const message of flat) {
      const body = generalBody(message)
      expect(readFlatCalls(body)).toEqual(readMessage((unpackBody(body) as unknown[])[0], peer))
    }
  })

  test('SC5: what is not of their form is left to the general way', () => {
    const failed = { no: 1, outcome: { status: 'failed', error: errorRecord('E_X', 'no') } }
    const via = { ...callOf(1, 'incr', bytesOf(1)), via: ['abc-s2'] }
    const ref = { id: chunkId(peer, 1, 1), sizeBytes: 5, hash: new Uint8Array(32), home: peer }
    const inner = new ChunkPayload(ref, null, [peer])
    const holding = new HoldingPayload(bytesOf(4), [inner])
    const odd = [
      about({ type: 'call', caller, open: 1, calls: [{ ...callOf(1, 'incr', bytesOf(1)), args: holding }] }),
      about({ type: 'replies', caller, replies: [{ no: 1, outcome: { status: 'done', value: holding } }] }),
      about({ type: 'replies', caller, replies: [{ no: 1, outcome: { status: 'done', value: inner } }] }),
      about({ type: 'replies', caller, replies: [failed] }),
      about({ type: 'call', caller, open: 1, calls: [via] }),
      about({ type: 'call', caller, open: 1, calls: [callOf(1, 'größer', bytesOf(1))] }),
      about({ type: 'call', caller, open: 1, calls: [callOf(1, 'a'.repeat(256), bytesOf(1))] }),
      about({ type: 'call', caller, open: 1, calls: [callOf(1, 'incr', bytesOf(40_000))] }),
      about({ type: 'appended', copy: 1, seq: 2 }),
    ]
    for (const message of odd) {
      expect(writeFlatCalls(message)).toBeNull()
      const body = generalBody(message)
      const read = readFlatCalls(body)
      if (read !== null) expect(read).toEqual(readGenerally(body))
    }
    const two = packMessages(flat.slice(0, 2), (_message, error) => throwing(error))[0] as Uint8Array
    expect(readFlatCalls(two)).toBeNull()
    expect(readFlatCalls(packBody([]))).toBeNull()
  })

  test('WP2, SC5: bad bytes are never read as something that the general way refuses, or reads otherwise', () => {
    for (const message of [flat[0], flat[20]] as MessageOf<'service'>[]) {
      const body = generalBody(message)
      for (let at = 0; at < body.length; at++) {
        expect(readFlatCalls(body.slice(0, at))).toBeNull()
        for (const value of [0, 0x7f, 0x80, 0x93, 0xa1, 0xc1, 0xcb, 0xff]) {
          const changed = body.slice()
          changed[at] = value
          const read = readFlatCalls(changed)
          if (read !== null) expect(read).toEqual(readGenerally(changed))
        }
      }
      expect(readFlatCalls(Uint8Array.of(...body, 0))).toBeNull()
    }
  })
})
