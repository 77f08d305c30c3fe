import type { JobId, Message, PeerId } from '@shoal/scheduler'
import { describe, expect, test } from 'vitest'
import { limits } from '../limits.ts'
import { createTestClock, type TestClock } from '../membership/testing.ts'
import { createLinkPair } from '../transport/memory.ts'
import { packBody } from './body.ts'
import { createBulk } from './bulk.ts'
import { createBudget } from './chunks.ts'
import { readRefused } from './control.ts'
import { decodeFrame, encodeFrame, frameTypes } from './frames.ts'
import { createIncoming, type SessionHandlers } from './incoming.ts'
import { writeMessage } from './messages.ts'
import { createPipe } from './pipe.ts'
import { createSession } from './session.ts'
import { serviceMessages } from './testing/messages.ts'

const job = 'job-1' as JobId
const good: Message = { type: 'adopt', job, epoch: 3 }

/** One real session whose other end is in the hands of an attacker. */
interface Bench {
  readonly clock: TestClock
  readonly messages: Message[]
  readonly codes: string[]
  /** Codes of the `refused` frames that came back. */
  readonly told: string[]
  readonly errors: unknown[]
  /** Sends raw bytes, or whatever a broken transport delivers. */
  raw(message: unknown): Promise<void>
  /** Sends a well-formed frame of the next sequence. */
  frame(type: number, body: Uint8Array): Promise<void>
  seq(): number
}

function createBench(role: 'member' | 'contributor' = 'member'): Bench {
  const clock = createTestClock()
  const errors: unknown[] = []
  const [near, far] = createLinkPair(clock, 'control', 'near', 'far', (error) => errors.push(error))
  const messages: Message[] = []
  const codes: string[] = []
  const told: string[] = []
  const remote = { peer: 'p' as PeerId, role, epoch: 1 }
  const reader = { bytesMax: limits.controlBytesMax, framesPerS: 100, onFrame: () => {} }
  const pipe = createPipe({ link: near, clock, reader, onRefused: (error) => codes.push(error.code) })
  const ignore = (): void => {}
  const handlers: SessionHandlers = {
    onLife: ignore,
    onMessages: (list) => messages.push(...list),
    onReplica: ignore,
    onRoundTrip: ignore,
    onProbe: ignore,
    onProbed: ignore,
    onPeers: ignore,
    onWanted: ignore,
    onOperation: ignore,
    onPieceWanted: ignore,
    onPiece: ignore,
    onPieceLost: ignore,
    onTicket: ignore,
    onRefusedBy: ignore,
    onGoodbye: ignore,
    onClose: ignore,
    onUnsent: ignore,
  }
  const incoming = createIncoming({ remote, selfRole: 'member', clock, pipe, handlers })
  const bulk = createBulk({
    clock,
    budget: createBudget(),
    control: pipe,
    isOnline: () => true,
    dial: () => Promise.reject(new Error('not here')),
    announce: ignore,
    random: (length) => new Uint8Array(length),
    deliver: incoming.onFrame,
    onLost: incoming.onLost,
    onRefused: ignore,
    onMeasured: ignore,
    onLife: ignore,
  })
  createSession({ remote, selfRole: 'member', pipe, bulk, clock, handlers })
  far.onMessage((message) => {
    const { type, body } = decodeFrame(message, limits.controlBytesMax)
    if (type === frameTypes.refused) told.push(readRefused(body).code)
  })
  let seq = 0
  const raw = async (message: unknown): Promise<void> => {
    far.send(message as Uint8Array)
    await clock.settle()
  }
  return {
    clock,
    messages,
    codes,
    told,
    errors,
    raw,
    frame: (type, body) => raw(encodeFrame(type as 16, seq++, body)),
    seq: () => seq,
  }
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
const messagesBody = (...list: readonly unknown[]): Uint8Array => packBody(list)
const goodBody = messagesBody(writeMessage(good))

/** `[1]` nested so many times. */
function nested(depth: number): Uint8Array {
  const body = new Uint8Array(depth + 1).fill(0x91)
  body[depth] = 1
  return body
}

const messageRows: readonly (readonly [name: string, code: string, body: Uint8Array])[] = [
  ['[5] truncated MessagePack', 'E_DECODE', goodBody.subarray(0, goodBody.length - 2)],
  ['[6] bytes after the end', 'E_DECODE', Uint8Array.from([...goodBody, 0])],
  ['an empty body', 'E_DECODE', bytes()],
  ['a byte without meaning', 'E_DECODE', bytes(0x91, 0xc1)],
  ['[7] an array of 2^32 - 1 in 5 bytes', 'E_DECODE', bytes(0xdd, 0xff, 0xff, 0xff, 0xff)],
  ['[8] a map of 2^32 - 1 in 5 bytes', 'E_DECODE', bytes(0xdf, 0xff, 0xff, 0xff, 0xff)],
  ['a string of 2^32 - 1 in 5 bytes', 'E_DECODE', bytes(0x91, 0xdb, 0xff, 0xff, 0xff, 0xff)],
  ['[9] a depth of 50,000', 'E_DEPTH', nested(50_000)],
  ['an extension type', 'E_SCHEMA', bytes(0x91, 0xd4, 0x00, 0x00)],
  [
    '[11] a map with __proto__',
    'E_SCHEMA',
    bytes(0x91, 0x81, 0xa9, ...new TextEncoder().encode('__proto__'), 0x90),
  ],
  ['[11] a map with constructor', 'E_SCHEMA', packBody([{ constructor: 1 }])],
  ['no list', 'E_SCHEMA', packBody('messages')],
  ['a message that is no list', 'E_SCHEMA', messagesBody(1)],
  ['an unknown message', 'E_SCHEMA', messagesBody([99, 'job-1', 1])],
  ['[12] an extra field', 'E_SCHEMA', messagesBody([6, 'job-1', 3, 'more'])],
  ['a missing field', 'E_SCHEMA', messagesBody([6, 'job-1'])],
  ['[13] an epoch that is text', 'E_SCHEMA', messagesBody([6, 'job-1', '42'])],
  ['[14] an epoch of NaN', 'E_SCHEMA', messagesBody([6, 'job-1', Number.NaN])],
  ['[14] an epoch of Infinity', 'E_SCHEMA', messagesBody([6, 'job-1', Number.POSITIVE_INFINITY])],
  ['[14] an epoch of -1', 'E_SCHEMA', messagesBody([6, 'job-1', -1])],
  ['an epoch of 1.5', 'E_SCHEMA', messagesBody([6, 'job-1', 1.5])],
  ['[14] an epoch of 2^53 + 2', 'E_SCHEMA', messagesBody([6, 'job-1', 2 ** 53 + 2])],
  [
    'an epoch of 64 bits',
    'E_SCHEMA',
    bytes(0x91, 0x93, 6, 0xa1, 0x6a, 0xcf, 255, 255, 255, 255, 255, 255, 255, 255),
  ],
  ['[15] a job with a lone surrogate', 'E_SCHEMA', bytes(0x91, 0x93, 6, 0xa3, 0xed, 0xa0, 0x80, 1)],
  ['[15] a job of 40,000 characters', 'E_SCHEMA', messagesBody([6, 'x'.repeat(40_000), 1])],
  ['a job with a line break', 'E_SCHEMA', messagesBody([6, 'job\n1', 1])],
  ['[56] a time-out below 0', 'E_SCHEMA', messagesBody(assignment(-5))],
  ['[56] a time-out of a year', 'E_SCHEMA', messagesBody(assignment(365 * 86_400_000))],
  ['an operation without a hash', 'E_SCHEMA', messagesBody([2, 'j', 1, ['p/worker/0'], ['rm'], []])],
  [
    '[44] a processor of another peer',
    'E_FORBIDDEN',
    messagesBody([1, 'name', [['q/worker/0', 'worker', true, 1]], false]),
  ],
  ['an index beyond the table', 'E_SCHEMA', messagesBody([2, 'j', 1, [], [], [[0, 0, 0, 0, bytes(), 0, 0]]])],
]

function assignment(timeoutMs: number): unknown {
  const task = [0, 1, 0, 0, bytes(1), 0, timeoutMs]
  return [2, 'j', 1, ['p/worker/0'], [`${'0'.repeat(64)}#f`], [task]]
}

describe('[WP1] [WP2] a session refuses bad frames, tells the sender, and takes the next good one', () => {
  const check = async (bench: Bench, code: string): Promise<void> => {
    expect(bench.codes).toEqual([code])
    expect(bench.told).toEqual([code])
    expect(bench.messages).toEqual([])
    await bench.frame(frameTypes.messages, goodBody)
    expect(bench.messages).toEqual([good])
    expect(bench.codes).toEqual([code])
    expect(bench.errors).toEqual([])
  }

  test.each(messageRows)('%s: %s', async (_name, code, body) => {
    const bench = createBench()
    await bench.frame(frameTypes.messages, body)
    await check(bench, code)
  })

  test('[1] [10] an empty frame, a short one, and text: E_FRAME', async () => {
    for (const message of [bytes(), bytes(1, 16, 0), 'text']) {
      const bench = createBench()
      await bench.raw(message)
      await check(bench, 'E_FRAME')
    }
  })

  test('[2] an unknown version: E_VERSION', async () => {
    const bench = createBench()
    await bench.raw(bytes(9, 16, 0, 0, 0, 0, 1))
    await check(bench, 'E_VERSION')
  })

  test('[3] an unknown type, and one that has no place: E_TYPE', async () => {
    for (const type of [200, frameTypes.bulkHello, frameTypes.hello]) {
      const bench = createBench()
      await bench.frame(type, goodBody)
      await check(bench, 'E_TYPE')
    }
  })

  test('[4] a frame above the limit: E_TOO_LARGE', async () => {
    const bench = createBench()
    await bench.frame(frameTypes.messages, new Uint8Array(limits.controlBytesMax))
    await check(bench, 'E_TOO_LARGE')
  })

  test('the good messages of a frame pass although one is bad', async () => {
    const bench = createBench()
    await bench.frame(
      frameTypes.messages,
      messagesBody(writeMessage(good), [6, 'job-1', -1], writeMessage(good)),
    )
    expect(bench.codes).toEqual(['E_SCHEMA'])
    expect(bench.messages).toEqual([good, good])
  })

  test('[16] [17] [WP3] a replayed frame: E_REPLAY; a gap: E_SEQ, and what follows it counts', async () => {
    const bench = createBench()
    await bench.raw(encodeFrame(frameTypes.messages, 0, goodBody))
    await bench.raw(encodeFrame(frameTypes.messages, 0, goodBody))
    expect(bench.codes).toEqual(['E_REPLAY'])
    expect(bench.messages).toHaveLength(1)
    await bench.raw(encodeFrame(frameTypes.messages, 5, goodBody))
    expect(bench.codes).toEqual(['E_REPLAY', 'E_SEQ'])
    expect(bench.messages).toHaveLength(2)
    await bench.raw(encodeFrame(frameTypes.messages, 6, goodBody))
    expect(bench.messages).toHaveLength(3)
    expect(bench.codes).toHaveLength(2)
  })

  test('[18] a flood of 10,000 frames: E_RATE once, and good frames pass a second later', async () => {
    const bench = createBench('contributor')
    const result = writeMessage({ type: 'watch', job, nos: [1] })
    for (let seq = 0; seq < 10_000; seq++) {
      await (seq % 500 === 499
        ? bench.frame(frameTypes.messages, messagesBody(result))
        : flood(bench, seq, result))
    }
    expect(bench.codes).toEqual(['E_RATE'])
    expect(bench.messages).toHaveLength(limits.contributorFramesPerS)
    await bench.clock.advance(1_000)
    await bench.frame(frameTypes.messages, messagesBody(result))
    expect(bench.messages).toHaveLength(limits.contributorFramesPerS + 1)
  })

  test('[28] what only owners and members say, from a contributor: E_FORBIDDEN', async () => {
    for (const [type, body] of [
      [frameTypes.messages, goodBody],
      [frameTypes.replica, bytes(1, 2, 3)],
    ] as const) {
      const bench = createBench('contributor')
      await bench.frame(type, body)
      expect(bench.codes).toEqual(['E_FORBIDDEN'])
      expect(bench.messages).toEqual([])
    }
  })

  test('[SC5] of services a contributor may call, and ask who hosts', async () => {
    const allowed: string[] = []
    for (const message of serviceMessages) {
      const bench = createBench('contributor')
      await bench.frame(frameTypes.messages, messagesBody(writeMessage(message)))
      expect(bench.messages.length + bench.codes.length).toBe(1)
      if (bench.messages.length === 1) allowed.push(message.body.type)
    }
    expect(allowed).toEqual(['call', 'unknown'])
  })

  test('refusals that are answered with refusals do not go round in circles', async () => {
    const bench = createBench()
    await bench.frame(frameTypes.refused, packBody(['E_X', 'because', null]))
    expect(bench.told).toEqual([])
  })
})

/** Like `bench.frame`, without waiting for it to arrive. */
async function flood(bench: Bench, _seq: number, message: readonly unknown[]): Promise<void> {
  void bench.frame(frameTypes.messages, messagesBody(message))
}

test('[WP1] each kind of frame has a number of its own', () => {
  const numbers = Object.values(frameTypes)
  expect(new Set(numbers).size).toBe(numbers.length)
})
