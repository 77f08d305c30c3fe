import type { Clock, Link } from '@shoal/scheduler'
import { createGate, createLoop, createPeerClock, createRng } from '@shoal/scheduler/testing'
import { beforeEach, describe, expect, test } from 'vitest'
import type { ChaosFaults, ChaosTransport } from './chaos.ts'
import { createChaosTransport } from './chaos.ts'
import { createMemoryNetwork } from './memory.ts'

interface World {
  readonly clock: Clock
  /** Runs whatever is due, until nothing is left. */
  run(): Promise<void>
}

function createWorld(): World {
  const loop = createLoop((error) => {
    throw error
  })
  const gate = createGate(0)
  return {
    clock: createPeerClock(loop, gate, 0, 1),
    async run() {
      do await new Promise((resolve) => setImmediate(resolve))
      while (loop.runNext())
    },
  }
}

/** What a peer that hears everything got, as numbers. */
async function linkThrough(
  faults: Partial<ChaosFaults>,
  seed = 1,
): Promise<{ near: Link; chaos: ChaosTransport; got: number[]; world: World; address: string }> {
  const world = createWorld()
  const network = createMemoryNetwork({ clock: world.clock, rng: createRng(seed) })
  const chaos = createChaosTransport(network.join(), { clock: world.clock, rng: createRng(seed), faults })
  const other = network.join()
  const got: number[] = []
  other.onLink((link) => {
    link.onMessage(([number = -1]) => got.push(number))
    link.onClose(() => got.push(-1))
  })
  const [near] = await Promise.all([chaos.dial(other.address, 'control'), world.run()])
  return { near, chaos, got, world, address: other.address }
}

const numbers = Array.from({ length: 200 }, (_, no) => no)
const inOrder = (got: readonly number[]): number[] => got.toSorted((left, right) => left - right)

async function sendAll(faults: Partial<ChaosFaults>, seed = 1): Promise<number[]> {
  const { near, got, world } = await linkThrough(faults, seed)
  for (const no of numbers) near.send(Uint8Array.of(no))
  await world.run()
  return got
}

describe('faults', () => {
  test('delays keep the order', async () => {
    expect(await sendAll({ delayMs: [0, 100] })).toEqual(numbers)
  })

  test('reordering moves messages and loses none', async () => {
    const got = await sendAll({ delayMs: [0, 100], reorderRate: 0.5 })
    expect(got).not.toEqual(numbers)
    expect(inOrder(got)).toEqual(numbers)
  })

  test('drops lose some', async () => {
    const got = await sendAll({ dropRate: 0.3 })
    expect(got.length).toBeGreaterThan(100)
    expect(got.length).toBeLessThan(180)
    expect(got).toEqual(inOrder(got))
  })

  test('duplicates arrive twice', async () => {
    const got = await sendAll({ duplicateRate: 0.3 })
    expect(new Set(got).size).toBe(numbers.length)
    expect(got.length).toBeGreaterThan(220)
  })

  test('the same seed gives the same faults, another seed others', async () => {
    const faults = { dropRate: 0.2, duplicateRate: 0.2, reorderRate: 0.2, delayMs: [0, 50] } as const
    const first = await sendAll(faults, 7)
    expect(await sendAll(faults, 7)).toEqual(first)
    expect(await sendAll(faults, 8)).not.toEqual(first)
  })

  test('dials fail with E_DIAL', async () => {
    await expect(linkThrough({ dialFailRate: 1 })).rejects.toMatchObject({ code: 'E_DIAL' })
  })

  test('the close comes after what was sent before it', async () => {
    const { near, got, world } = await linkThrough({ delayMs: [10, 90] })
    near.send(Uint8Array.of(1))
    near.send(Uint8Array.of(2))
    near.close()
    await world.run()
    expect(got).toEqual([1, 2, -1])
  })
})

describe('partitions', () => {
  let heard: number[]
  let parts: Awaited<ReturnType<typeof linkThrough>>
  let far: Link

  beforeEach(async () => {
    heard = []
    const world = createWorld()
    const network = createMemoryNetwork({ clock: world.clock, rng: createRng(3) })
    const chaos = createChaosTransport(network.join(), { clock: world.clock, rng: createRng(3) })
    const other = network.join()
    const arrived = new Promise<Link>((resolve) => other.onLink(resolve))
    const [near] = await Promise.all([chaos.dial(other.address, 'control'), world.run()])
    far = await arrived
    const got: number[] = []
    far.onMessage(([number = -1]) => got.push(number))
    near.onMessage(([number = -1]) => heard.push(number))
    parts = { near, chaos, got, world, address: other.address }
  })

  test('hold both ways in silence; healing releases in order', async () => {
    const { near, chaos, got, world, address } = parts
    chaos.partition(address)
    near.send(Uint8Array.of(1))
    near.send(Uint8Array.of(2))
    far.send(Uint8Array.of(3))
    await world.run()
    expect([got, heard]).toEqual([[], []])
    expect(near.bufferedBytes).toBe(2)
    await expect(chaos.dial(address, 'bulk')).rejects.toMatchObject({ code: 'E_DIAL' })
    chaos.heal(address)
    near.send(Uint8Array.of(4))
    await world.run()
    expect([got, heard]).toEqual([[1, 2, 4], [3]])
  })

  test('one-way: what comes in is held, what goes out passes', async () => {
    const { near, chaos, got, world } = parts
    chaos.partition(undefined, 'in')
    near.send(Uint8Array.of(1))
    far.send(Uint8Array.of(2))
    await world.run()
    expect([got, heard]).toEqual([[1], []])
    chaos.heal()
    await world.run()
    expect(heard).toEqual([2])
  })

  test('one-way: what goes out is held, what comes in passes', async () => {
    const { near, chaos, got, world } = parts
    chaos.partition(undefined, 'out')
    near.send(Uint8Array.of(1))
    far.send(Uint8Array.of(2))
    await world.run()
    expect([got, heard]).toEqual([[], [2]])
  })

  test('a close is not heard through it either', async () => {
    const { near, chaos, world } = parts
    const reasons: string[] = []
    near.onClose((reason) => reasons.push(reason))
    chaos.partition()
    far.close()
    await world.run()
    expect(reasons).toEqual([])
    chaos.heal()
    await world.run()
    expect(reasons).toEqual(['bye'])
  })
})
