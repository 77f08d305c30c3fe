import { defaultTaskOptions, type JobId } from '@shoal/scheduler'
import { outcomes, specs } from '@shoal/scheduler/testing/contract/replica'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../../packages/mesh/src/limits.ts'
import {
  build,
  readHello,
  readProof,
  writeHello,
  writeProof,
} from '../../packages/mesh/src/membership/hello.ts'
import {
  packOperations,
  packOutcomes,
  packProfile,
  packSpecs,
  unpackOutcomes,
  unpackProfile,
  unpackSpecBatch,
} from '../../packages/mesh/src/replica/batch.ts'
import { packLaneRecord, unpackLaneRecord } from '../../packages/mesh/src/replica/lane.ts'
import { decodeReplicaMessage, encodeReplicaMessage } from '../../packages/mesh/src/replica/protocol.ts'
import { packServiceRecord, unpackServiceRecord } from '../../packages/mesh/src/replica/service-records.ts'
import { readLineText } from '../../packages/mesh/src/transport/tcp/offer.ts'
import { packBody, unpackBody } from '../../packages/mesh/src/wire/body.ts'
import {
  readCredit,
  readOperation,
  readPeers,
  readProbe,
  readProbed,
  readRefused,
  readTicket,
  readTime,
  readWanted,
  writeOperation,
  writePeers,
  writeTicket,
} from '../../packages/mesh/src/wire/control.ts'
import { decodeFrame, encodeFrame, frameTypes } from '../../packages/mesh/src/wire/frames.ts'
import { readMessage, writeMessage } from '../../packages/mesh/src/wire/messages.ts'
import {
  every,
  everyService,
  job,
  operation,
  self,
  service,
  serviceMessages,
} from '../../packages/mesh/src/wire/testing/messages.ts'
import { asList } from '../../packages/mesh/src/wire/validate.ts'
import { packValue, unpackValue } from '../../packages/sdk/src/values/index.ts'
import { seed, tame } from './known.ts'
import { mutations, spoilBody, spoilBytes } from './mutations.ts'

const rawCases = 200_000
const mutatedCases = 60_000

/** A decoder of something that a stranger or a member may send, with good examples of it. */
interface Decoder {
  readonly name: string
  read(bytes: Uint8Array): unknown
  readonly good: readonly Uint8Array[]
  /** `false`: not MessagePack as bodies are. */
  readonly isBody: boolean
}

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 37) & 255)
const kept = (list: readonly Uint8Array[]): readonly Uint8Array[] => list.map((one) => one.slice())
const source = 'export const add1 = (x) => x + 1'
const operationRecord = { hash: operation, name: 'add1', source, exportName: 'add1' }
const lane = (record: Parameters<typeof packLaneRecord>[0]): Uint8Array => packLaneRecord(record)
const specsOf = specs('job-1', 0, 5)
const outcomesOf = outcomes('job-1', self, 1, 0, 5)
const errors = [
  new TypeError('x', { cause: new Error('y') }),
  Object.assign(new Error('z'), { code: 'E_Z', more: [1] }),
]

const offer = {
  type: 'offer',
  id: 'ab'.repeat(16),
  key: 'cd'.repeat(32),
  hosts: ['10.0.0.1', '::1'],
  port: 80,
}

const decoders: readonly Decoder[] = [
  {
    name: 'what a peer says of its lines',
    read: (raw) => readLineText(new TextDecoder().decode(raw)),
    good: [offer, { type: 'call' }, { type: 'moved', line: 1 }, { type: 'broken', line: 2, taken: 3 }].map(
      (said) => new TextEncoder().encode(JSON.stringify(said)),
    ),
    isBody: false,
  },
  {
    name: 'frames',
    read: (raw) => decodeFrame(raw, limits.controlBytesMax),
    good: kept([
      encodeFrame(frameTypes.messages, 5, bytes(20)),
      encodeFrame(frameTypes.hello, 2 ** 32 - 1, bytes(0)),
    ]),
    isBody: false,
  },
  {
    name: 'messages',
    read: (body) => asList(unpackBody(body), 4_096, 'messages', (one) => readMessage(one, self)),
    good: [...Object.values(every), ...serviceMessages].map((message) =>
      packBody([writeMessage(message), writeMessage(message)]).slice(),
    ),
    isBody: true,
  },
  {
    name: 'hello',
    read: readHello,
    good: kept([
      writeHello({
        protocolMin: 1,
        protocolMax: 1,
        build,
        role: 'member',
        peer: self,
        publicKey: bytes(32),
        nonce: bytes(32),
        epoch: 1,
      }),
    ]),
    isBody: true,
  },
  {
    name: 'proof',
    read: readProof,
    good: kept([
      writeProof({
        mac: bytes(32),
        signature: bytes(64),
        fingerprints: ['AA', 'BB'],
        room: { publicKey: bytes(32), signature: bytes(64) },
      }),
      writeProof({ mac: bytes(32), signature: bytes(64), fingerprints: null, room: null }),
    ]),
    isBody: true,
  },
  ...(
    [
      ['heartbeats', readTime, [packBody([12.5])]],
      ['probes', readProbe, [packBody([self])]],
      ['answers to probes', readProbed, [packBody([self, true])]],
      ['refusals', readRefused, [packBody(['E_X', 'because', 3])]],
      [
        'addresses',
        readPeers,
        [
          writePeers([
            { address: 'a', role: 'member' },
            { address: 'b', role: 'contributor' },
          ]),
        ],
      ],
      ['requests for code', readWanted, [packBody([1, operation])]],
      [
        'code',
        readOperation,
        [writeOperation(1, { name: 'a', source, exportName: 'b' }), writeOperation(2, null)],
      ],
      [
        'bulk tickets',
        readTicket,
        [writeTicket({ token: bytes(16), localFingerprint: 'A', remoteFingerprint: null })],
      ],
      ['credit', readCredit, [packBody([1000, 7])]],
    ] as const
  ).map(([name, read, good]) => ({ name, read, good: kept(good), isBody: true })),
  {
    name: 'replica messages',
    read: decodeReplicaMessage,
    good: [
      { type: 'update', name: 'lane:a', update: bytes(30) } as const,
      { type: 'state', name: 'job:b', update: bytes(30) } as const,
      {
        type: 'digest',
        id: 1,
        from: '',
        to: 'lane:x',
        isPartial: false,
        wantsDigest: true,
        entries: [
          { name: 'job:a', state: bytes(9), deleted: 3, mark: 9 },
          { name: 'lane:b', state: null, deleted: 0, mark: 0 },
        ],
      } as const,
      { type: 'synced', id: 4 } as const,
      { type: 'dropped', names: ['job:a', 'job:b'] } as const,
      { type: 'hold', id: 4, entries: [{ name: 'job:a', state: bytes(4) }] } as const,
      { type: 'held', id: 4 } as const,
    ].map((message) => encodeReplicaMessage(message)),
    isBody: true,
  },
  {
    name: 'lane records',
    read: (raw) => unpackLaneRecord(raw, self),
    good: [
      lane({ type: 'job', by: self, job, name: 'a job' }),
      lane({ type: 'claim', by: self, job, epoch: 3 }),
      lane({ type: 'ended', by: self, job }),
    ],
    isBody: true,
  },
  {
    name: 'records of services',
    read: (raw) => unpackServiceRecord(raw, self),
    good: [
      packServiceRecord({ type: 'service', by: self, spec: everyService.install.spec }),
      packServiceRecord({ type: 'service-claim', by: self, service, claim: everyService.claimed.claim }),
      packServiceRecord({ type: 'service-ended', by: self, service, epoch: 3, reason: 'lost' }),
    ],
    isBody: true,
  },
  {
    name: 'batches of specifications',
    read: (raw) => unpackSpecBatch(raw, job),
    good: [
      specsOf.type === 'specs' ? packSpecs(specsOf.specs, job) : bytes(0),
      packSpecs(
        [
          {
            no: 1,
            operation,
            args: { pack: () => bytes(3) },
            needs: [{ index: 0, task: { job: 'other' as JobId, no: 2 } }],
            options: { ...defaultTaskOptions, name: 'x', priority: 2 },
            parent: { no: 0, attempt: 1, seq: 2 },
          },
        ],
        job,
      ),
      packOperations([operationRecord]),
    ],
    isBody: true,
  },
  {
    name: 'batches of outcomes',
    read: unpackOutcomes,
    good: [outcomesOf.type === 'outcomes' ? packOutcomes(1, outcomesOf.outcomes, job) : bytes(0)],
    isBody: true,
  },
  {
    name: 'profiles',
    read: unpackProfile,
    good: [packProfile(every.profile.profile)],
    isBody: true,
  },
  {
    name: 'values',
    read: (raw) => unpackValue(raw),
    good: kept(
      [
        { a: [1, 2n, null, undefined, 'x'], b: new Map([[1, new Set(['y'])]]), c: new Date(5) },
        [new Uint8Array(9), new Float64Array(3), new ArrayBuffer(5), /x/g],
        errors,
        'text',
        -0,
        [[[[[[[[1]]]]]]]],
      ].map((value) => packValue(value)),
    ),
    isBody: false,
  },
]

const other: fc.Arbitrary<Decoder> = fc.constantFrom(...decoders)
/** Bytes that look a little like MessagePack: heads of lists, maps, texts and lengths that lie. */
const head = fc.constantFrom(
  ...[
    0x90, 0x91, 0x92, 0x93, 0x97, 0x80, 0x81, 0xa1, 0xbf, 0xc0, 0xc1, 0xc4, 0xc5, 0xc6, 0xc7, 0xc9, 0xca,
    0xcb,
  ],
  ...[0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd3, 0xd4, 0xd8, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff],
)
const raw: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 64 }),
  fc
    .array(fc.oneof(head, fc.integer({ min: 0, max: 255 })), { maxLength: 48 })
    .map((list) => Uint8Array.from(list)),
)

console.log(`fuzz: SEED=${seed}`)

test('each good example is read', () => {
  for (const { name, read, good } of decoders) {
    for (const one of good)
      expect(
        tame(() => read(one)),
        name,
      ).toBeNull()
  }
})

test(`${rawCases} raw inputs: a value or a known refusal, none slow`, { timeout: 120_000 }, () => {
  const codes = new Map<string | null, number>()
  fc.assert(
    fc.property(other, raw, ({ read }, input) => {
      const code = tame(() => read(input))
      codes.set(code, (codes.get(code) ?? 0) + 1)
    }),
    { seed, numRuns: rawCases },
  )
  expect([...codes.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(rawCases)
  for (const code of ['E_DECODE', 'E_SCHEMA', 'E_FRAME', 'E_BAD_PAYLOAD'])
    expect(codes.get(code)).toBeGreaterThan(100)
})

describe(`${mutatedCases} mutations of good inputs: a value or a known refusal, none slow`, () => {
  const inputs = decoders.flatMap((decoder) => decoder.good.map((good) => ({ decoder, good })))
  const input = fc.constantFrom(...inputs)

  test('bytes', { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(input, mutations, ({ decoder, good }, list) => {
        const spoilt = spoilBytes(good, list)
        tame(() => decoder.read(spoilt))
      }),
      { seed, numRuns: mutatedCases / 2 },
    )
  })

  test('structures', { timeout: 120_000 }, () => {
    const codes = new Map<string | null, number>()
    const bodies = fc.constantFrom(...inputs.filter(({ decoder }) => decoder.isBody))
    fc.assert(
      fc.property(bodies, mutations, ({ decoder, good }, list) => {
        const spoilt = spoilBody(good, list)
        const code = tame(() => decoder.read(spoilt))
        codes.set(code, (codes.get(code) ?? 0) + 1)
      }),
      { seed, numRuns: mutatedCases / 2 },
    )
    // Most get past the decoder, to the checks of each field; some are still good.
    expect(codes.get('E_SCHEMA')).toBeGreaterThan(mutatedCases / 10)
    expect(codes.get(null)).toBeGreaterThan(mutatedCases / 100)
  })
})
