import type { JobId, OperationRecord, PeerId, ReplicatedRecord } from '@shoal/scheduler'
import { outcomes, specs } from '@shoal/scheduler/testing/contract/replica'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import * as Y from 'yjs'
import { createTestSigning } from '../../packages/mesh/src/membership/signing.testing.ts'
import { createReplica, type ReplicaExtras } from '../../packages/mesh/src/replica/index.ts'
import {
  decodeReplicaMessage,
  encodeReplicaMessage,
  type ReplicaMessage,
} from '../../packages/mesh/src/replica/protocol.ts'
import { knownCodes, seed, tame } from './known.ts'
import { type Mutation, mutations, spoilBytes } from './mutations.ts'

const cases = 20_000
/** After so many cases the replica is asked for good work, and a fresh one takes its place. */
const casesPerReplica = 500

type Piece = Extract<ReplicaMessage, { readonly type: 'update' | 'state' }>

const writer = 'writer' as PeerId
const relay = 'relay' as PeerId
const gone = 'gone' as PeerId

/** A replica whose messages the test brings and takes: time stands still. */
function open(self: PeerId, clientId: number, members: readonly PeerId[]) {
  const sent: ReplicaMessage[] = []
  const codes: string[] = []
  const messages: string[] = []
  const told: ReplicatedRecord[] = []
  const known = new Map<string, OperationRecord>()
  let receive: (from: PeerId, bytes: Uint8Array) => void = () => {}
  const replica = createReplica({
    self,
    clientId,
    signing: createTestSigning(self),
    limits: { laneBytes: 200_000, jobBytes: 200_000, updateBytes: 100_000, documents: 200 },
    clock: { now: () => 0, setTimer: () => () => {}, defer: (callback) => callback() },
    rng: { next: () => 0.5 },
    network: {
      members: () => members,
      send: (_to, bytes) => void sent.push(decodeReplicaMessage(bytes)),
      onMessage: (listener) => {
        receive = listener
        return () => {}
      },
      onMember: () => () => {},
    },
    operations: {
      add: (one) => void known.set(one.hash, one),
      get: (hash) => known.get(hash) ?? null,
      fetch: () => Promise.reject(new Error('never')),
    },
    onRefused: ({ code, message }) => {
      codes.push(code)
      messages.push(message)
    },
  })
  replica.onRecords((records) => void told.push(...records))
  return {
    replica,
    sent,
    codes,
    messages,
    told,
    receive: (from: PeerId, bytes: Uint8Array) => receive(from, bytes),
  }
}

/** Spoils the entries of an update of one client id, and writes it as Yjs does. */
function spoilEntries(update: Uint8Array, list: readonly Mutation[]): Uint8Array {
  const { structs } = Y.decodeUpdate(update)
  const items = structs.filter((struct): struct is Y.Item => struct instanceof Y.Item)
  for (const { kind, at, to, byte } of list) {
    const item = items[Math.floor(at * items.length)]
    if (item === undefined || !(item.content instanceof Y.ContentBinary)) continue
    if (kind === 'cut') items.splice(Math.floor(at * items.length))
    else if (kind === 'drop') items.splice(0, 1)
    else {
      const content = item.content.content.slice()
      const place = Math.floor(to * content.length)
      content[place] = (content[place] as number) ^ (1 + (byte & 127))
      item.content.content = content
    }
  }
  const [first] = items
  if (first === undefined) return Uint8Array.of(0, 0)
  const encoder = new Y.UpdateEncoderV1()
  for (const item of items) item.write(encoder, 0)
  const header = [1, items.length, first.id.client, first.id.clock].flatMap(varUint)
  return Uint8Array.of(...header, ...encoder.toUint8Array(), 0)
}

function varUint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 128, ...varUint(Math.floor(value / 128))]
}

/** What a member says of a job of its own, in several updates. */
function history(self: PeerId, clientId: number): readonly Piece[] {
  const { replica, sent } = open(self, clientId, [relay])
  const job = `${self}-job`
  replica.write([
    { type: 'profile', by: self, profile: { name: self, processors: [] } },
    { type: 'job', by: self, job: job as JobId, name: 'a job' },
    { type: 'claim', by: self, job: job as JobId, epoch: 1 },
    specs(job, 0, 4),
  ])
  replica.flush()
  for (let no = 0; no < 4; no++) {
    replica.write([
      outcomes(job, self, 1, no, 1),
      { type: 'claim', by: self, job: job as JobId, epoch: 2 + no },
    ])
    replica.flush()
  }
  const pieces = sent.filter((message): message is Piece => message.type === 'update')
  replica.close()
  return pieces
}

const histories = { [writer]: history(writer, 4_000_000_001), [gone]: history(gone, 4_000_000_002) }
/** Whole documents of an absent member, as a sync brings them. */
const whole: readonly Piece[] = [...new Set(histories[gone]?.map(({ name }) => name))].map((name) => {
  const pieces = (histories[gone] ?? []).filter((piece) => piece.name === name)
  return { type: 'state', name, update: Y.mergeUpdates(pieces.map(({ update }) => update)) }
})

const closing: ReplicaExtras[] = []
afterEach(() => {
  for (const replica of closing.splice(0)) (replica as unknown as { close(): void }).close()
})

/** A replica under test that has taken some of the good updates already. */
function subject(prefix: number): ReturnType<typeof open> {
  const made = open('self' as PeerId, 4_000_000_003, [writer, relay])
  closing.push(made.replica)
  // The syncs that it starts with each member end at once.
  for (const peer of [writer, relay]) {
    const id = made.sent.reduce((last, message) => (message.type === 'digest' ? message.id : last), 0)
    made.receive(peer, encodeReplicaMessage({ type: 'synced', id }))
  }
  made.replica.write([
    { type: 'claim', by: 'self' as PeerId, job: 'own' as JobId, epoch: 1 },
    specs('own', 0, 2),
  ])
  made.replica.flush()
  for (const piece of (histories[writer] ?? []).slice(0, prefix))
    made.receive(writer, encodeReplicaMessage(piece))
  expect(made.codes).toEqual([])
  return made
}

interface Case {
  readonly from: PeerId
  readonly piece: Piece
}

const direct: readonly Case[] = (histories[writer] ?? []).map((piece) => ({ from: writer, piece }))
const relayed: readonly Case[] = [...whole, ...(histories[gone] ?? [])].map((piece) => {
  return { from: relay, piece: { ...piece, type: 'state' as const } }
})
const names = [
  'lane:writer',
  'lane:self',
  'lane:gone',
  'job:writer-job',
  'job:own',
  'job:gone-job',
  'job:new',
  'root',
]

const bad = fc.record({
  one: fc.constantFrom(...direct, ...relayed),
  list: mutations,
  from: fc.constantFrom<PeerId | null>(null, null, writer, relay),
  name: fc.option(fc.constantFrom(...names), { freq: 4 }),
  /** What is spoilt: the entries of the update, the update, or the message around it. */
  what: fc.constantFrom('entries', 'update', 'message'),
})

console.log(`fuzz: SEED=${seed}`)

test(`${cases} spoilt updates through the filter: applied or refused with a known code, none slow`, {
  timeout: 120_000,
}, () => {
  const counts = new Map<string, number>()
  let count = 0
  let at = subject(0)

  /** Whatever came before: the member whose documents were not touched by it is still heard. */
  const goesOn = (): void => {
    const fresh = history(relay, 4_100_000_000 + count)
    at.codes.length = 0
    at.told.length = 0
    for (const piece of fresh) at.receive(relay, encodeReplicaMessage(piece))
    const isOpen = at.codes.every(
      (code) => code === 'E_QUOTA' || code === 'E_CRDT_FOREIGN' || code === 'E_CRDT_GAP',
    )
    expect(isOpen, at.codes.join(' ')).toBe(true)
    if (at.codes.length === 0) expect(at.told.length).toBeGreaterThan(0)
  }

  fc.assert(
    fc.property(bad, ({ one, list, from, name, what }) => {
      if (++count % casesPerReplica === 0) {
        goesOn()
        closing.pop()
        at.replica.close()
        at = subject(count % 5)
      }
      at.codes.length = 0
      const piece = { ...one.piece, name: name ?? one.piece.name }
      const spoil = what === 'entries' ? spoilEntries : spoilBytes
      const message =
        what === 'message'
          ? spoilBytes(encodeReplicaMessage(piece), list)
          : encodeReplicaMessage({ ...piece, update: spoil(piece.update, list) })
      tame(() => at.receive(from ?? one.from, message))
      if (at.codes.length === 0) counts.set('taken', (counts.get('taken') ?? 0) + 1)
      for (const [i, code] of at.codes.entries()) {
        if (!knownCodes.has(code)) throw new Error(`${code}: ${at.messages[i]}`)
        counts.set(code, (counts.get(code) ?? 0) + 1)
      }
      at.messages.length = 0
    }),
    { seed, numRuns: cases },
  )
  goesOn()
  expect(count).toBeGreaterThanOrEqual(cases)
  console.log(`fuzz: ${[...counts].map(([code, times]) => `${times} ${code}`).join(', ')}`)
  for (const code of ['E_CRDT_UPDATE', 'E_CRDT_FOREIGN', 'E_CRDT_SHAPE', 'E_SIGNATURE', 'E_CRDT_GAP']) {
    expect(counts.get(code), code).toBeGreaterThan(20)
  }
})
