import type {
  Clock,
  OperationRecord,
  OperationStore,
  PeerId,
  Replica,
  ReplicaNetwork,
  ReplicatedRecord,
  Rng,
} from '../../index.ts'
import { createGate, createLoop, createPeerClock, type SimLoop } from '../sim/clock.ts'
import { createRng, type SimRng } from '../sim/rng.ts'

/** What a room gives to the replica under test. */
export interface ReplicaSeat {
  readonly self: PeerId
  /** Different for each start, and the same in each run. */
  readonly clientId: number
  readonly network: ReplicaNetwork
  readonly clock: Clock
  readonly rng: Rng
  readonly operations: OperationStore
}

/** A replica that a test can look into: content hashes by document, not state vectors. */
export interface InspectedReplica extends Replica {
  contentHashes(): ReadonlyMap<string, string>
}

/** How messages travel. Chances are 0 to 1. */
export interface ReplicaWeather {
  readonly dropChance: number
  readonly duplicateChance: number
  readonly delayMinMs: number
  readonly delayMaxMs: number
  /** `true`: a later message may overtake an earlier one of the same pair. */
  readonly canReorder: boolean
}

/** A member of the room and everything that its replica told. */
export interface ReplicaMember<R extends Replica> {
  readonly id: PeerId
  readonly replica: R
  readonly operations: OperationStore
  readonly told: ReplicatedRecord[]
}

/** Replicas in one process on virtual time: the same seed gives the same run. */
export interface ReplicaRoom<R extends Replica> {
  readonly loop: SimLoop
  weather: ReplicaWeather
  /** Messages handed to the network so far. */
  readonly sent: number
  /** Starts a replica; `isListening` false: nobody subscribes to its records. */
  join(name: string, isListening?: boolean): ReplicaMember<R>
  /** Closes a replica; the others see it leave. */
  leave(member: ReplicaMember<R>): void
  /** Members of different groups leave each other's view, and what is on the way is lost. */
  split(...groups: readonly (readonly ReplicaMember<R>[])[]): void
  heal(): void
  /** Lets virtual time pass. */
  run(ms: number): void
  /** Says `message` to a member as if `from` had sent it. */
  inject(from: PeerId, to: ReplicaMember<R>, message: Uint8Array): void
  /** Watches what is sent; the result ends that. */
  onSent(listener: (from: PeerId, to: PeerId, message: Uint8Array) => void): () => void
  close(): void
}

export const calm: ReplicaWeather = {
  dropChance: 0,
  duplicateChance: 0,
  delayMinMs: 1,
  delayMaxMs: 5,
  canReorder: false,
}

interface Seat<R extends Replica> {
  readonly id: PeerId
  readonly messages: Set<(from: PeerId, message: Uint8Array) => void>
  readonly members: Set<(peer: PeerId, isPresent: boolean) => void>
  readonly view: Set<PeerId>
  member: ReplicaMember<R> | null
  isOpen: boolean
}

export function createReplicaRoom<R extends Replica>(
  seed: number,
  create: (seat: ReplicaSeat) => R,
): ReplicaRoom<R> {
  const thrown: unknown[] = []
  const loop = createLoop((error) => thrown.push(error))
  const rng = createRng(seed)
  const seats = new Map<PeerId, Seat<R>>()
  const taps = new Set<(from: PeerId, to: PeerId, message: Uint8Array) => void>()
  const lastAt = new Map<string, number>()
  let starts = 0

  const see = (seat: Seat<R>, peer: PeerId, isPresent: boolean): void => {
    if (seat.view.has(peer) === isPresent) return
    if (isPresent) seat.view.add(peer)
    else seat.view.delete(peer)
    for (const listener of seat.members) listener(peer, isPresent)
  }
  const meet = (left: Seat<R>, right: Seat<R>, isPresent: boolean): void => {
    see(left, right.id, isPresent)
    see(right, left.id, isPresent)
  }
  const room = {
    loop,
    weather: calm,
    sent: 0,
    join(name: string, isListening = true): ReplicaMember<R> {
      const seat = takeSeat<R>(name as PeerId)
      seats.set(seat.id, seat)
      for (const other of seats.values()) if (other !== seat && other.isOpen) seat.view.add(other.id)
      const operations = operationStore()
      const clock = createPeerClock(loop, createGate(seats.size), 1000 * ++starts, 1)
      const network = networkOf(seat, (to, message) => post(seat, to, message))
      const clientId = (starts * 1_000_003 + seed * 10_007) >>> 0
      const replica = create({
        self: seat.id,
        clientId,
        network,
        clock,
        rng: rng.fork(`${starts}`),
        operations,
      })
      const member: ReplicaMember<R> = { id: seat.id, replica, operations, told: [] }
      seat.member = member
      if (isListening) replica.onRecords((records) => void member.told.push(...records))
      for (const other of seats.values()) if (other !== seat && other.isOpen) see(other, seat.id, true)
      return member
    },
    leave(member: ReplicaMember<R>): void {
      const seat = seats.get(member.id) as Seat<R>
      seat.isOpen = false
      member.replica.close()
      for (const other of seats.values()) if (other !== seat) meet(seat, other, false)
    },
    split(...groups: readonly (readonly ReplicaMember<R>[])[]): void {
      const groupOf = (seat: Seat<R>): number =>
        groups.findIndex((group) => group.some(({ id }) => id === seat.id))
      forPairs(seats, (left, right) => {
        if (groupOf(left) !== groupOf(right)) meet(left, right, false)
      })
    },
    heal(): void {
      forPairs(seats, (left, right) => {
        if (left.isOpen && right.isOpen) meet(left, right, true)
      })
    },
    run(ms: number): void {
      const end = loop.now() + ms
      loop.at(end, null, () => {})
      while (loop.nextAt() <= end && loop.runNext());
      if (thrown.length > 0) throw thrown[0]
    },
    inject(from: PeerId, to: ReplicaMember<R>, message: Uint8Array): void {
      deliver(seats.get(to.id) as Seat<R>, from, message)
    },
    onSent(listener: (from: PeerId, to: PeerId, message: Uint8Array) => void): () => void {
      taps.add(listener)
      return () => void taps.delete(listener)
    },
    close(): void {
      for (const { member, isOpen } of seats.values()) if (isOpen) member?.replica.close()
    },
  }

  function post(from: Seat<R>, to: PeerId, message: Uint8Array): void {
    const target = seats.get(to)
    room.sent++
    for (const tap of taps) tap(from.id, to, message)
    if (!from.isOpen || target === undefined || !from.view.has(to)) return
    const copies = rng.chance(room.weather.duplicateChance) ? 2 : 1
    for (let i = 0; i < copies; i++) {
      if (rng.chance(room.weather.dropChance)) continue
      const bytes = message.slice()
      loop.at(arrivalAt(room.weather, loop, rng, lastAt, `${from.id}>${to}`), null, () => {
        if (target.view.has(from.id) && from.view.has(to)) deliver(target, from.id, bytes)
      })
    }
  }
  return room
}

function arrivalAt(
  weather: ReplicaWeather,
  loop: SimLoop,
  rng: SimRng,
  lastAt: Map<string, number>,
  pair: string,
): number {
  const at = loop.now() + rng.between(weather.delayMinMs, weather.delayMaxMs)
  if (weather.canReorder) return at
  const ordered = Math.max(at, lastAt.get(pair) ?? 0)
  lastAt.set(pair, ordered)
  return ordered
}

function deliver<R extends Replica>(seat: Seat<R>, from: PeerId, message: Uint8Array): void {
  if (seat.isOpen) for (const listener of seat.messages) listener(from, message)
}

function takeSeat<R extends Replica>(id: PeerId): Seat<R> {
  return { id, messages: new Set(), members: new Set(), view: new Set(), member: null, isOpen: true }
}

function networkOf<R extends Replica>(
  seat: Seat<R>,
  send: (to: PeerId, message: Uint8Array) => void,
): ReplicaNetwork {
  return {
    members: () => [...seat.view],
    send,
    onMessage(listener) {
      seat.messages.add(listener)
      return () => void seat.messages.delete(listener)
    },
    onMember(listener) {
      seat.members.add(listener)
      return () => void seat.members.delete(listener)
    },
  }
}

function operationStore(): OperationStore {
  const known = new Map<string, OperationRecord>()
  return {
    add: (operation) => void known.set(operation.hash, operation),
    get: (hash) => known.get(hash) ?? null,
    fetch: () => Promise.reject(new Error('replicas never fetch')),
  }
}

function forPairs<R extends Replica>(
  seats: ReadonlyMap<PeerId, Seat<R>>,
  visit: (left: Seat<R>, right: Seat<R>) => void,
): void {
  const all = [...seats.values()]
  all.forEach((left, index) => {
    for (const right of all.slice(index + 1)) visit(left, right)
  })
}
