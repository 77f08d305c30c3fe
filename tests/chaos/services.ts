import { joinMesh, type Mesh, type Service } from '@shoal/sdk'
import type { Actor, PageActor } from './actors.ts'
import { openWorld, type World } from './world.ts'

export type ServiceFault = 'kill' | 'leave' | 'page-close' | 'page-crash' | 'page-reload' | 'page-leave'

export interface ServiceChaosOptions {
  /** What happens to the host, one after the other. */
  readonly faults: readonly ServiceFault[]
  readonly log: (line: string) => void
}

/** How the host ended, and the longest wait of calls made one after the other until another host answered. */
export interface ServiceRecovery {
  readonly fault: ServiceFault
  readonly durability: Durability
  readonly ms: number
}

export interface ServiceChaosReport {
  readonly calls: number
  /** Answered calls that the state does not hold, or holds twice, or in another order than their callers made them. */
  readonly broken: readonly string[]
  /** Calls that failed, with their codes. */
  readonly failed: readonly string[]
  readonly recoveries: readonly ServiceRecovery[]
}

type Durability = 'snapshot' | 'journal'

/** Each answer says where the call stands in the one order of all calls: its place, and the call before it. */
class Ledger {
  length = 0
  last = ''
  append(token: string): { readonly place: number; readonly before: string } {
    const before = this.last
    this.length += 1
    this.last = token
    return { place: this.length, before }
  }
}

interface Answered {
  readonly caller: number
  readonly no: number
  readonly place: number
  readonly before: string
}

const callersCount = 3
/** Calls that one caller has under way on one service. */
const pipelined = 4
const meetMs = 30_000
/** How long a host has been one when it ends: longer than the room needs to be ready for that. */
const settledMs = 700
/** Longest time until another host has answered. */
const movedMs = 60_000

export function isGoodForServices({ broken, failed }: ServiceChaosReport): boolean {
  return broken.length + failed.length === 0
}

/** Three callers, two services, and hosts that end again and again. */
export async function runServiceChaos(options: ServiceChaosOptions): Promise<ServiceChaosReport> {
  const world = await openWorld(options.log)
  const callers: Mesh[] = []
  try {
    for (let no = 0; no < callersCount; no++)
      callers.push(await joinMesh(world.invite, { name: `caller-${no}`, workers: 0 }))
    return await play(world, callers, options)
  } finally {
    await Promise.all(callers.map((mesh) => mesh.close()))
    await world.close()
  }
}

async function play(
  world: World,
  callers: readonly Mesh[],
  { faults }: ServiceChaosOptions,
): Promise<ServiceChaosReport> {
  const first = callers[0] as Mesh
  const loads: Load[] = []
  for (const durability of ['snapshot', 'journal'] as const) {
    await first.service(Ledger, [], { name: durability, durability, every: 200 })
    const handles = await Promise.all(callers.map((mesh) => mesh.services.lookup<Ledger>(durability)))
    loads.push(new Load(durability, handles))
  }
  const recoveries: ServiceRecovery[] = []
  for (const load of loads) load.start()
  for (const [no, fault] of faults.entries()) {
    const host = await startHost(world, callers, fault, no)
    for (const load of loads) await load.moveTo(host.peer)
    world.log(`${fault}: ${host.name} hosts`)
    await new Promise((resolve) => setTimeout(resolve, settledMs))
    const ended = end(fault, host)
    const waits = loads.map(async (load) => {
      recoveries.push({ fault, durability: load.durability, ms: await load.longestWait(host.peer) })
    })
    await Promise.all(waits)
    await ended
    world.log(
      `${fault}: longest wait ${recoveries
        .slice(-loads.length)
        .map(({ ms }) => Math.round(ms))
        .join(' and ')} ms`,
    )
  }
  for (const load of loads) await load.stop()
  return {
    calls: loads.reduce((sum, load) => sum + load.answered.length, 0),
    broken: loads.flatMap((load) => load.faults()),
    failed: loads.flatMap((load) => load.failed),
    recoveries,
  }
}

/** A peer for this fault alone; the page that is to be reloaded comes back as another one. */
async function startHost(
  world: World,
  callers: readonly Mesh[],
  fault: ServiceFault,
  no: number,
): Promise<Actor> {
  const host = fault.startsWith('page') ? await world.startPage(no) : await world.startNode(no, true)
  const isMet = await world.until(() => callers.every(({ self }) => host.view.has(self)), meetMs)
  if (!isMet) throw new Error(`Cannot go on as ${host.name} does not meet the callers`)
  await Promise.all(callers.map((mesh) => whenSeen(mesh, host.peer)))
  return host
}

function whenSeen(mesh: Mesh, peer: string): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!mesh.peers.some(({ id }) => id === peer)) return
      leave()
      resolve()
    }
    const leave = mesh.on('peers-changed', look)
    look()
  })
}

/** From here on the host is no more, or another one. */
function end(fault: ServiceFault, host: Actor): Promise<unknown> {
  switch (fault) {
    case 'kill':
    case 'page-close':
      return host.kill()
    case 'page-crash':
      return (host as PageActor).crash()
    case 'page-reload':
      return (host as PageActor).page.reload()
    case 'leave':
    case 'page-leave':
      host.order({ type: 'leave' })
      return Promise.resolve()
  }
}

/** All calls of one service. */
class Load {
  readonly durability: Durability
  readonly answered: Answered[] = []
  readonly failed: string[] = []
  readonly #handles: readonly Service<Ledger>[]
  readonly #tokens = new Map<number, string>()
  readonly #made: number[]
  readonly #loops: Promise<void>[] = []
  #isOver = false

  constructor(durability: Durability, handles: readonly Service<Ledger>[]) {
    this.durability = durability
    this.#handles = handles
    this.#made = handles.map(() => 0)
  }

  start(): void {
    for (const caller of this.#handles.keys())
      for (let line = 0; line < pipelined; line++) this.#loops.push(this.#loop(caller))
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#loops)
  }

  /** Resolves when it lives there and has answered from there. */
  async moveTo(peer: string): Promise<void> {
    await (this.#handles[0] as Service<Ledger>).$.migrate(peer)
    for (let answers = 0; answers < 20; answers++) await this.#call(answers % callersCount)
  }

  /** Longest wait for an answer, in milliseconds, from now until another host than `left` has answered. */
  async longestWait(left: string): Promise<number> {
    const { $ } = this.#handles[1] as Service<Ledger>
    const giveUpAt = performance.now() + movedMs
    let longest = 0
    for (let isMoved = false; !isMoved; ) {
      isMoved = $.host !== left
      const from = performance.now()
      await this.#call(1)
      longest = Math.max(longest, performance.now() - from)
      if (performance.now() > giveUpAt) throw new Error(`Cannot go on as ${left} hosts for ever`)
    }
    return longest
  }

  async #loop(caller: number): Promise<void> {
    while (!this.#isOver) {
      await this.#call(caller)
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }

  async #call(caller: number): Promise<void> {
    const no = (this.#made[caller] as number)++
    const token = `${caller}/${no}`
    try {
      const { place, before } = await (this.#handles[caller] as Service<Ledger>).append(token)
      this.answered.push({ caller, no, place, before })
      this.#tokens.set(place, token)
    } catch (error) {
      this.failed.push(`${this.durability} ${token}: ${String(error)}`)
    }
  }

  /** All calls were answered: their places are 1 to their number, each follows the one before it, and callers' in order. */
  faults(): readonly string[] {
    const faults: string[] = []
    const say = (text: string): void => void faults.push(`${this.durability}: ${text}`)
    const byPlace = this.answered.toSorted((a, b) => a.place - b.place)
    for (const [at, { place, before, caller, no }] of byPlace.entries()) {
      if (place !== at + 1) say(`call ${caller}/${no} stands at ${place}, not at ${at + 1}`)
      if (before !== (this.#tokens.get(place - 1) ?? ''))
        say(`before ${caller}/${no} the state had "${before}"`)
    }
    for (const caller of this.#handles.keys()) {
      const nos = byPlace.filter((one) => one.caller === caller).map(({ no }) => no)
      nos.forEach((no, at) => {
        if (no !== at) say(`call ${no} of caller ${caller} ran as its ${at}th`)
      })
    }
    return faults
  }
}

export function percentileOf(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN)
}
