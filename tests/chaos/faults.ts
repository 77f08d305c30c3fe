import type { Actor, NodeActor, PageActor } from './actors.ts'
import type { SubmitKind } from './orders.ts'
import type { Dice } from './rng.ts'
import type { World } from './world.ts'

/** What a fault works with. */
export interface Tools {
  readonly world: World
  readonly dice: Dice
  /** Actors that no fault has hold of. */
  up(): readonly Actor[]
  /** A job from `by`; resolves at once. */
  submit(by: Actor, kind: SubmitKind, count: number, ms: number, peers?: readonly string[]): void
  /** Somebody new takes the seat of an actor that is gone. */
  replace(actor: Actor, isFresh: boolean): Promise<void>
  /** Waits until everybody sees the actor again, then it is up; complains when that takes too long. */
  settle(actor: Actor): Promise<void>
  pause(ms: number): Promise<void>
}

export interface Fault {
  readonly name: string
  /** Row of the fault matrix. */
  readonly row: string
  /** How many actors must be up for it, and of which kind its victim is. */
  readonly needs: { readonly up: number; readonly kind?: Actor['kind']; readonly of?: number }
  /** Resolves when the fault is over and healed. */
  inject(tools: Tools, victim: Actor): Promise<void>
}

const lethal = 4

/** Long enough that a kill finds it running, short enough for two thousand of them. */
const probe = { count: 16, ms: 50 }

/** Ends the victim while it runs something. */
async function strike(tools: Tools, victim: Actor, kind: string, act: () => Promise<void>): Promise<void> {
  const { world, dice } = tools
  const { history } = world
  victim.state = 'hurt'
  const from = history.starts.length
  const others = tools.up().filter((one) => one !== victim)
  // Now and then the owner itself is struck.
  tools.submit(dice.next() < 0.3 ? victim : dice.pick(others), 'work', probe.count, probe.ms)
  await world.until(() => history.starts.slice(from).some(({ peer }) => peer === victim.peer), 3_000)
  history.kills.push({ at: Date.now(), peer: victim.peer, name: victim.name, kind })
  await act()
  victim.state = 'gone'
}

async function hurt(tools: Tools, victim: Actor, act: () => Promise<void>): Promise<void> {
  victim.state = 'hurt'
  await act()
  if (victim.state === 'hurt') await tools.settle(victim)
}

const ends: readonly Fault[] = [
  {
    name: 'kill -9 a Node peer',
    row: 'F4',
    needs: { up: lethal, kind: 'node' },
    async inject(tools, victim) {
      const isFresh = tools.dice.next() < 0.5
      await strike(tools, victim, 'kill -9', () => victim.kill())
      await tools.replace(victim, isFresh)
    },
  },
  {
    name: 'close a tab',
    row: 'F1',
    needs: { up: lethal, kind: 'page' },
    async inject(tools, victim) {
      await strike(tools, victim, 'closed tab', () => victim.kill())
      await tools.replace(victim, true)
    },
  },
  {
    name: 'crash a renderer',
    row: 'F3',
    needs: { up: lethal, kind: 'page' },
    async inject(tools, victim) {
      await strike(tools, victim, 'crash', () => (victim as PageActor).crash())
      await victim.kill()
      await tools.replace(victim, true)
    },
  },
  {
    name: 'leave politely',
    row: 'F2',
    needs: { up: lethal },
    async inject(tools, victim) {
      victim.state = 'hurt'
      victim.order({ type: 'leave' })
      await tools.world.until(() => tools.up().every((one) => !one.view.has(victim.peer)), 2_000)
      await victim.kill()
      await tools.replace(victim, false)
    },
  },
]

const pauses: readonly Fault[] = [1_000, 5_000].map((ms) => ({
  name: `SIGSTOP for ${ms / 1000} s`,
  row: 'F5',
  needs: { up: lethal, kind: 'node' as const },
  inject: (tools, victim) =>
    hurt(tools, victim, async () => {
      ;(victim as NodeActor).signal('SIGSTOP')
      await tools.pause(ms)
      ;(victim as NodeActor).signal('SIGCONT')
    }),
}))

const spins: readonly Fault[] = [
  {
    name: 'busy main thread for 5 s',
    row: 'F6',
    needs: { up: lethal },
    inject: (tools, victim) =>
      hurt(tools, victim, async () => {
        victim.order({ type: 'spin', ms: 5_000 })
        await tools.pause(5_000)
      }),
  },
]

const bodies: readonly Fault[] = [
  {
    name: 'endless loop in a body',
    row: 'F7',
    needs: { up: 1 },
    async inject(tools, victim) {
      tools.submit(victim, 'hang', 1, 0)
    },
  },
  {
    name: 'heap bomb in a Node worker',
    row: 'F8',
    needs: { up: 2, kind: 'node' },
    async inject(tools, victim) {
      const by = tools.dice.pick(tools.up())
      tools.submit(by, 'bomb', 1, 0, [victim.peer])
    },
  },
  {
    name: 'poison task: kills its process',
    row: 'F19',
    needs: { up: lethal, kind: 'node', of: 3 },
    async inject(tools) {
      const nodes = tools.up().filter((one) => one.kind === 'node')
      const pages = tools.up().filter((one) => one.kind === 'page')
      tools.submit(
        tools.dice.pick(pages),
        'poison',
        1,
        0,
        nodes.map((one) => one.peer),
      )
    },
  },
]

const network: readonly Fault[] = [
  {
    name: 'frames dropped, doubled, late and out of order',
    row: 'F11',
    needs: { up: 2 },
    async inject(tools, victim) {
      victim.order({
        type: 'faults',
        faults: { dropRate: 0.05, duplicateRate: 0.1, reorderRate: 0.1, delayMs: [0, 60] },
      })
      await tools.pause(3_000)
      victim.order({
        type: 'faults',
        faults: { dropRate: 0, duplicateRate: 0, reorderRate: 0, delayMs: [0, 0] },
      })
    },
  },
  ...[2_000, 5_000].map(
    (ms): Fault => ({
      name: `one cut off for ${ms / 1000} s`,
      row: 'F12',
      needs: { up: lethal },
      inject: (tools, victim) =>
        hurt(tools, victim, async () => {
          const others = tools.world.actors.filter((one) => one.state !== 'gone' && one !== victim)
          victim.order({ type: 'partition', addresses: others.map((one) => one.address) })
          await tools.pause(ms)
          victim.order({ type: 'heal' })
        }),
    }),
  ),
  {
    name: 'halves cut off for 2 s',
    row: 'F12',
    needs: { up: lethal },
    async inject(tools) {
      const all = tools.dice.shuffled(tools.up())
      const half = all.slice(0, Math.floor(all.length / 2))
      const rest = all.slice(half.length).map((one) => one.address)
      for (const one of half) one.order({ type: 'partition', addresses: rest })
      await tools.pause(2_000)
      for (const one of half) one.order({ type: 'heal' })
    },
  },
  {
    name: 'signalling server down for 2 s',
    row: 'F13',
    needs: { up: 1 },
    async inject(tools) {
      const restart = await tools.world.stopSignalling()
      await tools.pause(2_000)
      await restart()
    },
  },
]

/** Everything that goes wrong in a run. */
export const faults: readonly Fault[] = [...ends, ...pauses, ...spins, ...bodies, ...network]
