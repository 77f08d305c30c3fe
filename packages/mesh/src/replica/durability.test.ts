import { type JobId, type PeerId, ShoalError } from '@shoal/scheduler'
import { specs } from '@shoal/scheduler/testing/contract/replica'
import {
  calm,
  createReplicaRoom,
  type ReplicaMember,
  type ReplicaRoom,
} from '@shoal/scheduler/testing/contract/replica-room'
import { afterEach, expect, test } from 'vitest'
import { createReplica, memoryReplicaStorage, type ReplicaStorage } from './index.ts'
import { decodeReplicaMessage } from './protocol.ts'

type Replica = ReturnType<typeof createReplica>

const rooms: ReplicaRoom<Replica>[] = []
afterEach(() => {
  for (const room of rooms.splice(0)) room.close()
})

function open(
  storageOf: (peer: PeerId) => ReplicaStorage | undefined = () => undefined,
  seed = 1,
): ReplicaRoom<Replica> {
  const room = createReplicaRoom(seed, (seat) => {
    const storage = storageOf(seat.self)
    return createReplica({ ...seat, ...(storage === undefined ? {} : { storage }) })
  })
  rooms.push(room)
  return room
}

const job = 'j1' as JobId

/** Whether a promise has ended by now, and how. */
async function stateOf(promise: Promise<void>): Promise<string> {
  let state = 'open'
  promise.then(
    () => {
      state = 'durable'
    },
    (error: ShoalError) => {
      state = error.code
    },
  )
  await new Promise((resolve) => setImmediate(resolve))
  return state
}

function submit(member: ReplicaMember<Replica>, first: number, count: number): void {
  member.replica.write([{ type: 'job', by: member.id, job, name: 'first' }, specs(job, first, count)])
}

test('[DU7] work is durable when one other member has it, and only then', async () => {
  const room = open()
  const a = room.join('a')
  submit(a, 0, 10)
  const durable = a.replica.durable(job)
  expect(await stateOf(durable)).toBe('open')
  room.run(5_000)
  expect(await stateOf(durable)).toBe('open')
  const b = room.join('b')
  room.run(2_000)
  expect(await stateOf(durable)).toBe('durable')
  expect(b.told.filter(({ type }) => type === 'specs')).toHaveLength(1)
})

test('[DU7] a member that lacks something does not confirm', async () => {
  const room = open()
  const [a, b] = [room.join('a'), room.join('b')]
  room.run(2_000)
  room.weather = { ...calm, dropChance: 1 }
  submit(a, 0, 10)
  const durable = a.replica.durable(job)
  await stateOf(durable)
  room.run(100)
  expect(await stateOf(durable)).toBe('open')
  room.weather = calm
  // Asked again: it has learnt of the gap by then, or not.
  room.run(40_000)
  expect(await stateOf(durable)).toBe('durable')
  expect(b.replica.contentHashes()).toEqual(a.replica.contentHashes())
})

test('[DU7] nobody is asked unless somebody wants to know', async () => {
  const room = open()
  const [a] = [room.join('a'), room.join('b')]
  const types: string[] = []
  room.onSent((_from, _to, message) => types.push(decodeReplicaMessage(message).type))
  submit(a, 0, 1_000)
  room.run(5_000)
  expect(types).not.toContain('hold')
  const durable = a.replica.durable(job)
  await stateOf(durable)
  room.run(5_000)
  expect(await stateOf(durable)).toBe('durable')
  expect(types.filter((type) => type === 'hold')).toHaveLength(1)
})

test('[DU7] a disk of this peer makes work durable; one that fails leaves it to the others', async () => {
  let isBroken = false
  const disk: ReplicaStorage = {
    ...memoryReplicaStorage(),
    onDisk: async () => {
      if (isBroken) throw new ShoalError('E_STORAGE', 'Cannot write')
    },
  }
  const room = open((peer) => (peer === 'a' ? disk : undefined))
  const a = room.join('a')
  submit(a, 0, 10)
  expect(await stateOf(a.replica.durable(job))).toBe('durable')
  isBroken = true
  submit(a, 10, 10)
  const durable = a.replica.durable(job)
  expect(await stateOf(durable)).toBe('open')
  room.join('b')
  room.run(3_000)
  expect(await stateOf(durable)).toBe('durable')
})

test('[DU7] what waits ends when the replica is closed', async () => {
  const room = open()
  const a = room.join('a')
  submit(a, 0, 10)
  const durable = a.replica.durable(job)
  expect(await stateOf(durable)).toBe('open')
  a.replica.close()
  expect(await stateOf(durable)).toBe('E_CLOSED')
  expect(await stateOf(a.replica.durable(job))).toBe('E_CLOSED')
})

test('[DU3] what a storage could not keep is offered to it whole, again and again', async () => {
  const kept = memoryReplicaStorage()
  const unsaved = new Set<string>()
  let isBroken = true
  const storage: ReplicaStorage = {
    ...kept,
    append(name, update) {
      if (isBroken) unsaved.add(name)
      else if (!unsaved.has(name)) kept.append(name, update)
    },
    compact(name, snapshot) {
      if (isBroken) return
      unsaved.delete(name)
      kept.compact(name, snapshot)
    },
    unsaved: () => [...unsaved],
  }
  const room = open((peer) => (peer === 'a' ? storage : undefined))
  const a = room.join('a')
  submit(a, 0, 5)
  room.run(60_000)
  submit(a, 5, 5)
  room.run(1_000)
  expect(await kept.load()).toEqual([])
  isBroken = false
  room.run(60_000)
  expect(unsaved.size).toBe(0)
  const again = open(() => kept, 2).join('a')
  await again.replica.ready
  expect(again.replica.contentHashes()).toEqual(a.replica.contentHashes())
})
