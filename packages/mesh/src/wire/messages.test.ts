import {
  type CallerId,
  type ErrorRecord,
  type Message,
  PackedColumn,
  PackedPayload,
  ShoalError,
  type SliceAssignment,
} from '@shoal/scheduler'
import { expect, test } from 'vitest'
import { limits } from '../limits.ts'
import { packMessages } from './batch.ts'
import { packBody, unpackBody } from './body.ts'
import { readMessage, writeMessage } from './messages.ts'
import {
  assignment,
  attempts,
  error,
  every,
  job,
  payload,
  results,
  self,
  service,
  serviceMessages,
  slice,
} from './testing/messages.ts'

function cross(messages: readonly Message[]): readonly Message[] {
  const bodies = packMessages(messages, (_message, broken) => {
    throw broken
  })
  return bodies.flatMap((body) =>
    (unpackBody(body) as readonly unknown[]).map((item) => readMessage(item, self)),
  )
}

test.each(Object.values(every))('readMessage() gives back what writeMessage() took: $type', (message) => {
  expect(cross([message])).toEqual([message])
})

test.each(serviceMessages)(
  'readMessage() gives back what writeMessage() took: service $body.type',
  (message) => {
    expect(cross([message])).toEqual([message])
  },
)

test('readMessage() refuses every cut of every message about a service, and what it says too much', () => {
  for (const message of serviceMessages) {
    const [code, id, body] = writeMessage(message) as [number, string, readonly unknown[]]
    for (let length = 0; length < body.length; length++)
      expect(() => readMessage([code, id, body.slice(0, length)], self)).toThrow(ShoalError)
    expect(() => readMessage([code, id, [...body, 0]], self)).toThrow(ShoalError)
  }
})

test('readMessage() refuses a copy of another service', () => {
  const install = serviceMessages.find(({ body }) => body.type === 'install') as Message
  const [code, , body] = writeMessage(install)
  const fault = { code: 'E_SCHEMA', message: expect.stringContaining(service) }
  expect(() => readMessage([code, 'service-2', body], self)).toThrow(expect.objectContaining(fault))
})

test('packMessages() splits long lists of calls and replies, and keeps their order', () => {
  const calls = Array.from({ length: 5_000 }, (_, no) => ({ no, method: 'add', args: payload(1), via: [] }))
  const caller = 'peer-1@1' as CallerId
  const parts = cross([{ type: 'service', service, body: { type: 'call', caller, open: 1, calls } }])
  expect(parts.length).toBeGreaterThan(1)
  const arrived = parts.flatMap((part) =>
    part.type === 'service' && part.body.type === 'call' ? part.body.calls : [],
  )
  expect(arrived).toEqual(calls)
})

test('readMessage() refuses every cut of every message', () => {
  for (const message of Object.values(every)) {
    const list = writeMessage(message)
    for (let length = 0; length < list.length; length++) {
      expect(() => readMessage(list.slice(0, length), self)).toThrow(ShoalError)
    }
  }
})

test('an assignment costs 20 bytes or less beside its arguments, and one message carries many', () => {
  const tasks = Array.from({ length: 200 }, (_, no) => ({
    ...assignment,
    no,
    inputs: [],
    args: payload(1, 2),
  }))
  const bodies = packMessages([{ type: 'assign', job, epoch: 1, tasks }], () => {})
  expect(bodies).toHaveLength(1)
  expect((bodies[0] as Uint8Array).length / 200).toBeLessThan(20)
})

test('packMessages() splits lists that are long, and keeps their order', () => {
  const tasks = Array.from({ length: 5_000 }, (_, no) => ({ ...assignment, no }))
  const big = { ...assignment, no: 5_000, args: new PackedPayload(new Uint8Array(300_000)) }
  const message: Message = { type: 'assign', job, epoch: 1, tasks: [...tasks, big] }
  const bodies = packMessages([message], () => {})
  expect(bodies.filter((body) => body.length > limits.bulkFromBytes)).toHaveLength(1)
  const arrived = cross([message]).flatMap((part) => (part.type === 'assign' ? part.tasks : []))
  expect(arrived.map((task) => task.no)).toEqual([...tasks, big].map((task) => task.no))
})

test('packMessages() splits large holdings without losing a part', () => {
  const many = Array.from({ length: 300 }, (_, no) => ({
    no,
    attempt: 1,
    outcome: { status: 'done', value: new PackedPayload(new Uint8Array(2_000)) } as const,
    ranMs: 1,
  }))
  const parts = cross([{ ...every.holdings, results: many }])
  expect(parts.length).toBeGreaterThan(1)
  const holdings = parts.filter((part) => part.type === 'holdings')
  expect(holdings.flatMap((part) => part.results)).toHaveLength(300)
  expect(holdings.flatMap((part) => part.running)).toEqual(every.holdings.running)
  expect(holdings.flatMap((part) => part.unknown)).toEqual(attempts)
})

test('a result that cannot be packed becomes a failure; arguments that cannot are told to the sender', () => {
  const broken = {
    pack: () => {
      throw new ShoalError('E_NOT_SERIALIZABLE', 'Cannot pack a function')
    },
  }
  const [arrived] = cross([
    {
      type: 'results',
      job,
      epoch: 1,
      results: [{ ...results[0], outcome: { status: 'done', value: broken } }],
    },
  ])
  expect(arrived).toMatchObject({
    results: [{ outcome: { status: 'failed', error: { code: 'E_NOT_SERIALIZABLE' } } }],
  })
  const told: unknown[] = []
  const bodies = packMessages(
    [{ type: 'assign', job, epoch: 1, tasks: [{ ...assignment, args: broken }] }, every.adopt],
    (_message, cause) => told.push(cause),
  )
  expect(told).toMatchObject([{ code: 'E_NOT_SERIALIZABLE' }])
  expect(bodies).toHaveLength(1)
})

test('errors with endless causes, huge texts and broken Unicode are cut to what is accepted', () => {
  let deep: ErrorRecord = { ...error, message: `\ud800${'x'.repeat(100_000)}`, cause: null }
  for (let depth = 0; depth < 100; depth++) deep = { ...error, cause: deep, message: '\udc00' }
  const [arrived] = cross([
    {
      type: 'results',
      job,
      epoch: 1,
      results: [{ no: 1, attempt: 1, outcome: { status: 'failed', error: deep }, ranMs: 0 }],
    },
  ])
  expect(arrived).toMatchObject({ results: [{ outcome: { error: { message: '\ufffd' } } }] })
})

test('unpackBody() survives 20,000 mutations of good bodies with known codes', () => {
  const bodies = Object.values(every).map((message) => packBody(writeMessage(message)))
  let state = 7
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state % below
  }
  for (let round = 0; round < 20_000; round++) {
    const body = (bodies[random(bodies.length)] as Uint8Array).slice()
    for (let hits = 1 + random(3); hits > 0; hits--) body[random(body.length)] = random(256)
    try {
      readMessage(unpackBody(body.subarray(0, random(8) === 0 ? random(body.length) : body.length)), self)
    } catch (caught) {
      const isKnown =
        caught instanceof ShoalError &&
        ['E_DECODE', 'E_DEPTH', 'E_SCHEMA', 'E_FORBIDDEN', 'E_CHUNK_REF'].includes(caught.code)
      if (!isKnown) throw caught
    }
  }
})

test('[RG3] a slice crosses as one row, with the arguments of each of its tasks', () => {
  const tasks = Array.from({ length: 3 }, (_, at) => ({ ...slice, no: at * 3, attempt: 2 ** 40 + at }))
  const [message] = cross([{ type: 'assign', job, epoch: 1, tasks }]) as [
    Extract<Message, { type: 'assign' }>,
  ]
  expect(message.tasks.map(({ no, attempt }) => [no, attempt - 2 ** 40])).toEqual([
    [0, 0],
    [3, 1],
    [6, 2],
  ])
  for (const task of message.tasks)
    expect(((task as SliceAssignment).items as PackedColumn).numbers).toEqual(Float64Array.of(5, 6, 7))
})

test.each([
  ['with more values than tasks', 1, new PackedColumn(Float64Array.of(1, 2), false), []],
  ['without any value', 2, new PackedColumn([], false), []],
  ['that tells apart what it does not have', 2, new PackedColumn(Float64Array.of(1), false), [1]],
])('[WP1] results of a slice %s are refused', (_, count, values, indices) => {
  const apart = indices.map((index) => ({ index, outcome: { status: 'failed', error } as const }))
  const outcome = { status: 'sliced', values, apart } as const
  const message: Message = {
    type: 'results',
    job,
    epoch: 1,
    results: [{ no: 0, attempt: 1, count, outcome, ranMs: 0 }],
  }
  expect(() => readMessage(writeMessage(message), self)).toThrow(
    expect.objectContaining({ code: 'E_SCHEMA' }),
  )
})

test('[RG7] a chunk among the values of a slice is refused: whoever makes one tells it apart', () => {
  const [, , , , , , last] = results
  const chunk = last?.outcome.status === 'done' ? last.outcome.value.pack() : new Uint8Array(0)
  const outcome = { status: 'sliced', values: new PackedColumn([chunk, chunk], false), apart: [] } as const
  const message: Message = {
    type: 'results',
    job,
    epoch: 1,
    results: [{ no: 0, attempt: 1, count: 2, outcome, ranMs: 0 }],
  }
  expect(() => readMessage(writeMessage(message), self)).toThrow(
    expect.objectContaining({ code: 'E_SCHEMA' }),
  )
})
