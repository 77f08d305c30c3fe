import {
  type Assignment,
  defaultTaskOptions,
  type ErrorRecord,
  type JobId,
  type Message,
  type OperationHash,
  PackedPayload,
  type PeerId,
  type ProcessorId,
  ShoalError,
} from '@shoal/scheduler'
import { expect, test } from 'vitest'
import { limits } from '../limits.ts'
import { packMessages } from './batch.ts'
import { packBody, unpackBody } from './body.ts'
import { readMessage, writeMessage } from './messages.ts'

const self = 'peer-1' as PeerId
const job = 'job-1' as JobId
const other = 'job-2' as JobId
const operation = `${'ab'.repeat(32)}#add1` as OperationHash
const processor = 'peer-1/worker/0' as ProcessorId
const payload = (...bytes: number[]): PackedPayload => new PackedPayload(Uint8Array.from(bytes))
const error: ErrorRecord = {
  name: 'TypeError',
  message: 'x is no function',
  code: 'E_X',
  stack: 'TypeError: x\n  at y',
  cause: { name: 'Error', message: '', code: null, stack: null, cause: null, fields: null },
  fields: Uint8Array.from([1, 2]),
}
const assignment: Assignment = {
  no: 3,
  attempt: 2 ** 40,
  processor,
  operation,
  args: payload(1, 2, 3),
  inputs: [{ index: 1, value: payload(9) }],
  timeoutMs: 1500,
}
const attempts = [
  { no: 1, attempt: 2 },
  { no: 2 ** 24, attempt: 3 },
]
const results = [
  { no: 1, attempt: 1, outcome: { status: 'done', value: payload(7) }, ranMs: 1.25 },
  { no: 2, attempt: 1, outcome: { status: 'failed', error }, ranMs: 0 },
  { no: 3, attempt: 1, outcome: { status: 'cancelled', reason: 'enough' }, ranMs: 0 },
  { no: 4, attempt: 1, outcome: { status: 'lost' }, ranMs: 0 },
  { no: 5, attempt: 1, outcome: { status: 'refused' }, ranMs: 0 },
] as const

const every: { readonly [T in Message['type']]: Extract<Message, { readonly type: T }> } = {
  profile: {
    type: 'profile',
    wantsYours: true,
    profile: {
      name: 'Ann’s laptop',
      processors: [{ id: processor, kind: 'worker', isDefault: true, score: 1.5 }],
    },
  },
  assign: { type: 'assign', job, epoch: 1, tasks: [assignment, { ...assignment, no: 4, inputs: [] }] },
  revoke: { type: 'revoke', job, epoch: 1, attempts },
  abort: { type: 'abort', job, epoch: 1, attempts },
  commit: { type: 'commit', job, epoch: 1, attempts },
  adopt: { type: 'adopt', job, epoch: 2 },
  audit: { type: 'audit', job, epoch: 1, attempts: [] },
  results: { type: 'results', job, epoch: 1, results },
  revoked: { type: 'revoked', job, epoch: 1, attempts },
  holdings: {
    type: 'holdings',
    job,
    epoch: 2,
    running: [{ no: 1, attempt: 1, processor }],
    results,
    unknown: attempts,
  },
  stale: { type: 'stale', job, epoch: 3 },
  submit: {
    type: 'submit',
    job,
    parent: { no: 1, attempt: 1 },
    requests: [
      { seq: 0, operation, args: payload(), needs: [], options: defaultTaskOptions },
      {
        seq: 1,
        operation,
        args: payload(1),
        needs: [
          { index: 0, task: { job, no: 4 } },
          { index: -1, task: { job: other, no: 5 } },
        ],
        options: {
          name: 'a name',
          scope: {
            type: 'union',
            scopes: [
              { type: 'any' },
              {
                type: 'intersect',
                scopes: [
                  { type: 'kind', kind: 'webgpu' },
                  { type: 'peer', peer: self },
                ],
              },
              { type: 'processor', processor },
            ],
          },
          priority: -2,
          retryMax: 3,
          retryBackoffMs: 100,
          timeoutMs: 5000,
        },
      },
    ],
  },
  submitted: { type: 'submitted', job, parent: { no: 1, attempt: 1 }, accepted: [{ seq: 0, no: 2 ** 24 }] },
  watch: { type: 'watch', job, nos: [1, 2, 3] },
  outcomes: {
    type: 'outcomes',
    job,
    outcomes: [
      { no: 1, outcome: { status: 'done', value: payload(1), processor } },
      { no: 2, outcome: { status: 'failed', error, origin: { job: other, no: 1 }, attempts: 4, peer: self } },
      { no: 3, outcome: { status: 'cancelled', reason: 'enough' } },
    ],
  },
  cancel: { type: 'cancel', job, nos: null, reason: 'no longer needed' },
}

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

test('readMessage() refuses every cut of every message', () => {
  for (const message of Object.values(every)) {
    const list = writeMessage(message)
    for (let length = 0; length < list.length; length++) {
      expect(() => readMessage(list.slice(0, length), self)).toThrow(ShoalError)
    }
  }
})

test('an assignment costs 60 bytes or less beside its arguments, and one message carries many', () => {
  const tasks = Array.from({ length: 200 }, (_, no) => ({
    ...assignment,
    no,
    inputs: [],
    args: payload(1, 2),
  }))
  const bodies = packMessages([{ type: 'assign', job, epoch: 1, tasks }], () => {})
  expect(bodies).toHaveLength(1)
  expect((bodies[0] as Uint8Array).length / 200).toBeLessThan(60)
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
        caught instanceof ShoalError && ['E_DECODE', 'E_DEPTH', 'E_SCHEMA', 'E_FORBIDDEN'].includes(caught.code)
      if (!isKnown) throw caught
    }
  }
})
