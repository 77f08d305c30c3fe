import {
  type CallerId,
  type OperationHash,
  type OperationRecord,
  PackedPayload,
  type Payload,
  type PeerId,
  type ServiceId,
  type ServiceNews,
  type ServiceSpec,
} from '@shoal/scheduler'
import { afterEach, describe, expect, test } from 'vitest'
import { serviceFrom } from '../code/index.ts'
import { LivePayload, packValue, payloadValue } from '../values/index.ts'
import { systemClock } from './clock.ts'
import { createServiceSlots, type ServiceSlots } from './service-slots.ts'
import { startNodeWorker } from './worker.node.ts'

const peer = 'peer-1' as PeerId
const id = 'service-1' as ServiceId
const opened: ServiceSlots[] = []

afterEach(() => {
  for (const slots of opened.splice(0)) slots.closeAll()
})

/** A host, and what it says, one event after the other. */
function host(shapes: readonly unknown[], isFetched = false) {
  const records = new Map<OperationHash, OperationRecord>()
  for (const shape of shapes) records.set(serviceFrom(shape).record.hash, serviceFrom(shape).record)
  const events: ServiceNews[] = []
  const timers = new Set<() => void>()
  let workers = 0
  let wake = (): void => {}
  const slots = createServiceSlots({
    peer,
    startWorker: () => {
      workers++
      return startNodeWorker()
    },
    resultForm: 'packed',
    clock: {
      ...systemClock,
      setTimer: (_atMs, callback) => {
        timers.add(callback)
        return () => timers.delete(callback)
      },
    },
    operations: {
      add: () => {},
      get: (hash) => (isFetched ? null : (records.get(hash) ?? null)),
      fetch: async (hash) => records.get(hash) ?? Promise.reject(new Error('nobody has it')),
    },
  })
  slots.onNews((some) => {
    for (const one of some) {
      if (one.type !== 'ran') events.push(one)
      else for (const call of one.ended) events.push({ ...one, ended: [call] })
    }
    wake()
  })
  opened.push(slots)
  const next = async (): Promise<ServiceNews> => {
    while (events.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    return events.shift() as ServiceNews
  }
  const wait = (): void => {
    for (const callback of timers) {
      timers.delete(callback)
      callback()
    }
  }
  return { slots, next, workers: () => workers, wait }
}

function args(...values: unknown[]): Payload {
  return new LivePayload(values)
}

/** Arguments that are one handle of that service. */
function handleOf(service: string): Payload {
  const handle = {}
  const codec = {
    isHandle: (value: object) => value === handle,
    toRef: () => ({ service }),
    fromRef: () => handle,
  }
  return new PackedPayload(packValue([handle], codec))
}

function specOf(shape: unknown, args: Payload, operation = serviceFrom(shape).record.hash): ServiceSpec {
  const kept = { durability: 'snapshot', consistency: 'available', every: 100 } as const
  return { id, name: null, operation, args, ...kept }
}

function callOf(seq: number, method: string, given: Payload = args()) {
  return { seq, caller: 'somebody' as CallerId, method, args: given, via: ['outer' as ServiceId] }
}

async function valueIn(event: Promise<ServiceNews>): Promise<unknown> {
  const told = await event
  if (told.type === 'ran' && told.ended[0]?.outcome.status === 'done')
    return payloadValue(told.ended[0].outcome.value)
  if (told.type === 'snapshot' && told.state !== null) return payloadValue(told.state)
  throw new Error(`expected a value: ${JSON.stringify(told)}`)
}

class Counter {
  n: number
  constructor(n: number) {
    this.n = n
  }
  async add(k: number): Promise<number> {
    await Promise.resolve()
    this.n += k
    return this.n
  }
  fail(): never {
    throw new RangeError('no more')
  }
  die(): void {
    process.exit(3)
  }
}

class Echo {
  calls = 0
  all(...given: unknown[]): unknown[] {
    return [++this.calls, ...given]
  }
  one(given: unknown): unknown {
    this.calls++
    return given
  }
}

describe('createServiceSlots()', () => {
  test('[SC9] an instance that is not ready in time is ended, and says so', async () => {
    const never = (): Promise<object> => new Promise(() => {})
    const { slots, next, wait } = host([Counter, never])
    slots.open(1, specOf(never, args()), null)
    wait()
    expect(await next()).toMatchObject({ type: 'opened', instance: 1, error: { code: 'E_SERVICE_START' } })
    slots.open(2, specOf(Counter, args(5)), null)
    expect(await next()).toMatchObject({ type: 'opened', instance: 2, error: null })
    wait()
    slots.run(2, [callOf(1, 'add', args(1))])
    expect(await valueIn(next())).toBe(6)
  })

  test.each([
    ['that is known here', false],
    ['that has to be fetched', true],
  ])('[SC1] runs calls of a class %s one after the other, and keeps its state', async (_, isFetched) => {
    const { slots, next } = host([Counter], isFetched)
    slots.open(1, specOf(Counter, args(5)), null)
    for (let seq = 1; seq <= 3; seq++) slots.run(1, [callOf(seq, 'add', args(seq))])
    slots.snapshot(1, 3)
    slots.run(1, [callOf(4, 'add', args(4))])
    expect(await next()).toMatchObject({ type: 'opened', instance: 1, error: null })
    expect([await valueIn(next()), await valueIn(next()), await valueIn(next())]).toEqual([6, 8, 11])
    expect(await valueIn(next())).toEqual({ n: 11 })
    expect(await valueIn(next())).toBe(15)
  })

  test.each([
    ['that is known here', false],
    ['that has to be fetched', true],
  ])('[SC6] a service %s that was prepared finds its worker started', async (_, isFetched) => {
    const { slots, next, workers, wait } = host([Counter], isFetched)
    const specs = ['one', 'two', 'three'].map((name) => ({
      ...specOf(Counter, args(5)),
      id: name as ServiceId,
    }))
    const [one, two, three] = specs as [ServiceSpec, ServiceSpec, ServiceSpec]
    slots.prepare(one, peer)
    wait()
    slots.prepare(three, peer)
    slots.prepare(two, peer)
    expect(workers()).toBe(1)
    wait()
    for (const spec of specs.slice(1)) slots.prepare(spec, peer)
    expect(workers()).toBe(3)
    slots.unprepare(three.id)
    const opened: [ServiceSpec, number][] = [
      [two, 3],
      [one, 4],
      [two, 5],
      [three, 6],
    ]
    for (const [at, [spec, started]] of opened.entries()) {
      slots.open(at + 1, spec, null)
      expect(workers()).toBe(started)
      slots.run(at + 1, [callOf(1, 'add', args(at))])
      expect(await next()).toMatchObject({ type: 'opened', instance: at + 1, error: null })
      expect(await valueIn(next())).toBe(5 + at)
    }
  })

  const packed = (...values: unknown[]): Payload => new PackedPayload(packValue(values))
  const bodies = [1, 1.5, -0, 'two', 'zwölf', 'a'.repeat(300), true, null, undefined, [1], { a: 1 }, 10n]

  test.each([
    ['packed', packed],
    ['live', args],
  ])('[SC1] calls alone in their turn are as all others, their arguments %s', async (_, given) => {
    const { slots, next } = host([Echo])
    slots.open(1, specOf(Echo, args()), null)
    await next()
    let seq = 0
    const lists = [[], ...bodies.map((value) => [value]), [1, 'two', null], [1, [2]]]
    for (const list of lists) {
      slots.run(1, [callOf(++seq, 'all', given(...list))])
      expect(await valueIn(next())).toEqual([seq, ...list])
    }
    for (const value of bodies) {
      slots.run(1, [callOf(++seq, 'one', given(value))])
      expect(await valueIn(next())).toEqual(value)
    }
  })

  test('[SV1] calls of several turns keep their order, whatever their arguments are', async () => {
    const { slots, next } = host([Echo])
    slots.open(1, specOf(Echo, args()), null)
    const turns = [packed(1), packed([1]), packed(2), packed('ü'), packed(3), args([2]), packed()]
    for (const [at, given] of turns.entries()) {
      slots.run(1, [callOf(at + 1, 'all', given)])
      if (at % 3 === 2) await Promise.resolve()
    }
    await next()
    const seen: unknown[] = []
    for (const _ of turns) seen.push(((await valueIn(next())) as unknown[])[0])
    expect(seen).toEqual(turns.map((_, at) => at + 1))
  })

  test('[SC2] an instance goes on from a snapshot', async () => {
    const { slots, next } = host([Counter])
    slots.open(1, specOf(Counter, args(5)), new LivePayload({ n: 40 }))
    slots.run(1, [callOf(1, 'add', args(2))])
    await next()
    expect(await valueIn(next())).toBe(42)
  })

  test('[SC3] a method that throws fails its call alone', async () => {
    const { slots, next } = host([Counter])
    slots.open(1, specOf(Counter, args(5)), null)
    slots.run(1, [callOf(1, 'fail', args())])
    slots.run(1, [callOf(2, 'add', args(1))])
    await next()
    expect(await next()).toMatchObject({ ended: [{ seq: 1, outcome: { error: { name: 'RangeError' } } }] })
    expect(await valueIn(next())).toBe(6)
  })

  test('[SC2] a field that cannot be packed fails the snapshot, and says which', async () => {
    class Odd {
      put(): void {
        Object.assign(this, { key: Symbol('x') })
      }
    }
    const { slots, next } = host([Odd])
    slots.open(1, specOf(Odd, args()), null)
    slots.run(1, [callOf(1, 'put', args())])
    slots.snapshot(1, 3)
    await next()
    await next()
    const told = await next()
    expect(told).toMatchObject({
      type: 'snapshot',
      state: null,
      error: { code: 'E_NOT_SERIALIZABLE' },
    })
    expect(JSON.stringify(told)).toContain('$.key')
  })

  test('[SC3] what cannot start says why: a constructor that throws, code that nobody has, a name from outside', async () => {
    const outside = 5
    class Throws {
      constructor() {
        throw new RangeError('not today')
      }
    }
    class Captures {
      n = outside
    }
    const { slots, next } = host([Throws, Captures])
    slots.open(1, specOf(Throws, args()), null)
    expect(await next()).toMatchObject({ type: 'opened', error: { message: 'not today' } })
    slots.open(2, specOf(Captures, args()), null)
    expect(await next()).toMatchObject({
      error: { code: 'E_CODE', message: expect.stringContaining('"outside"') },
    })
    slots.open(3, specOf(Captures, args(), 'unknown#default' as OperationHash), null)
    expect(await next()).toMatchObject({ error: { message: 'nobody has it' } })
  })

  test('[SC3] the death of its worker is told once, and nothing after it', async () => {
    const { slots, next } = host([Counter])
    slots.open(1, specOf(Counter, args(5)), null)
    await next()
    slots.run(1, [callOf(1, 'die', args())])
    slots.run(1, [callOf(2, 'add', args(1))])
    expect(await next()).toMatchObject({ type: 'died', instance: 1 })
    slots.open(2, specOf(Counter, args(7)), null)
    slots.run(2, [callOf(2, 'add', args(1))])
    expect(await next()).toMatchObject({ type: 'opened', error: null })
    expect(await valueIn(next())).toBe(8)
  })

  test('[SC1] a call that waits for another service keeps its place, and says whose it is', async () => {
    class Asks {
      readonly seen: string[] = []
      async ask(other: { get(key: string): Promise<string> }): Promise<string> {
        this.seen.push('begins')
        this.seen.push(await other.get('k'))
        return this.seen.join()
      }
      look(): string {
        return this.seen.join()
      }
    }
    const { slots, next } = host([Asks])
    let answer = (): void => {}
    const asked = new Promise<unknown[]>((resolve) => {
      slots.callServices((service, method, given, via, onEnded) => {
        answer = () => onEnded({ status: 'done', value: new LivePayload('got it') })
        resolve([service, method, ...(payloadValue(given) as unknown[]), via])
      })
    })
    slots.open(1, specOf(Asks, args()), null)
    slots.run(1, [callOf(1, 'ask', handleOf('other'))])
    slots.run(1, [callOf(2, 'look', args())])
    await next()
    expect(await asked).toEqual(['other', 'get', 'k', ['outer', id]])
    answer()
    expect([await valueIn(next()), await valueIn(next())]).toEqual(['begins,got it', 'begins,got it'])
  })
})
