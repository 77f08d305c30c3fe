import type { PeerId, ReplicatedRecord, ServiceClaim, ServiceId } from '@shoal/scheduler'
import { createReplicaRoom, type ReplicaRoom } from '@shoal/scheduler/testing/contract/replica-room'
import { afterEach, expect, test } from 'vitest'
import { everyService } from '../wire/testing/messages.ts'
import { createReplica, type ReplicaExtras } from './index.ts'
import { packServiceRecord, unpackServiceRecord } from './service-records.ts'

type YjsReplica = ReturnType<typeof createReplica> & ReplicaExtras

const rooms: ReplicaRoom<YjsReplica>[] = []
afterEach(() => {
  for (const room of rooms.splice(0)) room.close()
})

function open(): ReplicaRoom<YjsReplica> {
  const room = createReplicaRoom(1, (seat) => createReplica({ ...seat }))
  rooms.push(room)
  return room
}

const { spec } = everyService.install
const service = spec.id

function claimAt(epoch: number, host: PeerId): ServiceClaim {
  return { epoch, host, follower: null, voters: [{ peer: host, epoch: 1 }], end: null }
}

function claim(by: PeerId, epoch: number): ReplicatedRecord {
  return { type: 'service-claim', by, service, claim: claimAt(epoch, by) }
}

test('records of services cross as they are, and an unknown kind is refused', () => {
  const by = 'a' as PeerId
  for (const record of [
    { type: 'service', by, spec },
    { type: 'service-claim', by, service, claim: everyService.claimed.claim },
    { type: 'service-ended', by, service, epoch: 4, reason: 'deleted' },
  ] as const) {
    expect(unpackServiceRecord(packServiceRecord(record), by)).toEqual(record)
  }
  const broken = packServiceRecord({ type: 'service', by, spec }).slice()
  broken[1] = 9
  expect(() => unpackServiceRecord(broken, by)).toThrow(expect.objectContaining({ code: 'E_SCHEMA' }))
})

test('[SC4] a lane tells the newest claim, and nothing of a service that ended but its end', () => {
  const room = open()
  const [a, b] = [room.join('a'), room.join('b')]
  a.replica.write([{ type: 'service', by: a.id, spec }, claim(a.id, 1)])
  room.run(100)
  a.replica.write([claim(a.id, 2)])
  room.run(100)
  expect(b.told.map(({ type }) => type)).toEqual(['service', 'service-claim', 'service-claim'])
  const late = room.join('late')
  room.run(3000)
  expect(late.told).toEqual([{ type: 'service', by: a.id, spec }, claim(a.id, 2)])
  const ended = { type: 'service-ended', by: a.id, service, epoch: 2, reason: 'deleted' } as const
  a.replica.write([ended])
  room.run(100)
  const later = room.join('later')
  room.run(3000)
  expect(later.told).toEqual([ended])
  expect(later.replica.contentHashes()).toEqual(a.replica.contentHashes())
})

test('[SC4] the lane of a gone member stays while a service needs what it says', () => {
  const room = open()
  const [a, b] = [room.join('a'), room.join('b')]
  a.replica.write([{ type: 'service', by: a.id, spec }, claim(a.id, 1)])
  room.run(1000)
  room.leave(a)
  room.run(200_000)
  expect(b.replica.contentHashes().has('lane:a')).toBe(true)
  // The claim is taken over, but only that lane says what the service is.
  b.replica.write([claim(b.id, 2)])
  room.run(200_000)
  expect(b.replica.contentHashes().has('lane:a')).toBe(true)
  b.replica.write([{ type: 'service-ended', by: b.id, service, epoch: 2, reason: 'deleted' }])
  room.run(200_000)
  expect(b.replica.contentHashes().has('lane:a')).toBe(false)
})

test('many services of one member stay apart', () => {
  const room = open()
  const [a, b] = [room.join('a'), room.join('b')]
  const ids = Array.from({ length: 50 }, (_, i) => `s${i}` as ServiceId)
  a.replica.write(ids.map((id) => ({ type: 'service', by: a.id, spec: { ...spec, id } })))
  room.run(1000)
  expect(b.told.flatMap((record) => (record.type === 'service' ? [record.spec.id] : []))).toEqual(ids)
})
