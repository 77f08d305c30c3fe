import { type ChildProcess, spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import type { Actor, NodeActor, PageActor } from './actors.ts'
import { percentile } from './history.ts'
import { openWorld, type World } from './world.ts'

export interface DetectionOptions {
  /** Faults of each kind. */
  readonly times: number
  /** How long nobody may be given up although all processors are busy. */
  readonly quietMinutes: number
  /** Kinds to try, or a part of each name; default: all. */
  readonly only?: string
  readonly log: (line: string) => void
}

/** From a fault until one kind of watcher was told, in milliseconds. */
export interface DetectionRow {
  readonly fault: string
  readonly watcher: 'node' | 'page'
  readonly count: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly mostMs: number
  /** Watchers that were never told. */
  readonly missed: number
}

export interface DetectionReport {
  readonly rows: readonly DetectionRow[]
  readonly leave: {
    /** Executions beyond one for each task, while peers with work left. */
    readonly executedAgain: number
    readonly tasks: number
  } | null
  readonly quiet: {
    readonly minutes: number
    readonly falseDeaths: number
    readonly suspicions: number
    /** Of the tab behind another one: what it says of itself, and how often its main timers fired in a second. */
    readonly visibility: string
    readonly timersPerS: number
  } | null
}

interface Kind {
  readonly name: string
  readonly victim: Actor['kind']
  act(victim: Actor): Promise<void> | void
}

/** Long enough for everybody to notice. */
const standsMs = 8_000
const missedAfterMs = 15_000
/** What takes longer is told in detail. */
const lateMs = 3_500

const kinds: readonly Kind[] = [
  { name: 'kill -9 a Node peer', victim: 'node', act: (victim) => victim.kill() },
  { name: 'close a tab', victim: 'page', act: (victim) => victim.kill() },
  { name: 'crash a renderer', victim: 'page', act: (victim) => (victim as PageActor).crash() },
  { name: 'SIGSTOP', victim: 'node', act: (victim) => (victim as NodeActor).signal('SIGSTOP') },
  {
    name: 'busy main thread, page',
    victim: 'page',
    act: (victim) => victim.order({ type: 'spin', ms: standsMs }),
  },
  {
    name: 'busy main thread, Node',
    victim: 'node',
    act: (victim) => victim.order({ type: 'spin', ms: standsMs }),
  },
  { name: 'polite leave', victim: 'node', act: (victim) => victim.order({ type: 'leave' }) },
]

/** How long it takes until the others know. */
export async function measureDetection(options: DetectionOptions): Promise<DetectionReport> {
  const world = await openWorld(options.log)
  try {
    return await measureIn(world, options)
  } finally {
    await world.close()
  }
}

async function measureIn(world: World, options: DetectionOptions): Promise<DetectionReport> {
  const starts = [world.startNode(1, true), world.startNode(2, true), world.startPage(1), world.startPage(2)]
  const watchers = await Promise.all(starts)
  for (const actor of watchers) await world.meets(actor, missedAfterMs)
  const rows: DetectionRow[] = []
  let leave: DetectionReport['leave'] = null
  for (const kind of kinds.filter(({ name }) => options.only === undefined || name.includes(options.only))) {
    const from = world.history.submissions.size
    rows.push(...(await measureKind(world, watchers, kind, options.times)))
    if (kind.name === 'polite leave') leave = leaveOf(world, from)
  }
  const isQuiet = options.quietMinutes > 0 && (options.only === undefined || 'quiet'.includes(options.only))
  return { rows, leave, quiet: isQuiet ? await stayQuiet(world, options.quietMinutes) : null }
}

async function measureKind(
  world: World,
  watchers: readonly Actor[],
  kind: Kind,
  times: number,
): Promise<readonly DetectionRow[]> {
  const found = { node: [] as number[], page: [] as number[] }
  const missed = { node: 0, page: 0 }
  for (let no = 0; no < times; no += 1) {
    const victim = await (kind.victim === 'node' ? world.startNode(9, true) : world.startPage(9))
    if (!(await world.meets(victim, missedAfterMs)))
      throw new Error(`Cannot go on: ${victim.name} met not all`)
    victim.state = 'hurt'
    const { departures } = world.history
    if (kind.name === 'polite leave') await giveWork(world, watchers[no % watchers.length] as Actor, victim)
    const seen = departures.length
    const at = Date.now()
    let tookMs = Number.NaN
    const act = Promise.resolve(kind.act(victim)).then(() => (tookMs = Date.now() - at))
    act.catch(() => undefined)
    const of = (watcher: Actor) =>
      departures.slice(seen).find(({ by, peer }) => by === watcher.name && peer === victim.peer)
    await world.until(() => watchers.every((watcher) => of(watcher) !== undefined), missedAfterMs)
    for (const watcher of watchers) {
      const departure = of(watcher)
      if (departure === undefined) missed[watcher.kind] += 1
      else {
        found[watcher.kind].push(departure.at - at)
        if (departure.at - at > lateMs) world.log(lateLine(world, watcher, victim, at, departure.at, tookMs))
      }
    }
    await victim.kill()
  }
  const rows = (['node', 'page'] as const).map((watcher): DetectionRow => {
    const sorted = found[watcher].sort((left, right) => left - right)
    return {
      fault: kind.name,
      watcher,
      count: sorted.length,
      p50Ms: percentile(sorted, 0.5),
      p99Ms: percentile(sorted, 0.99),
      mostMs: sorted.at(-1) ?? Number.NaN,
      missed: missed[watcher],
    }
  })
  for (const row of rows) world.log(`${row.fault}, seen by ${row.watcher}: ${row.p50Ms} / ${row.p99Ms} ms`)
  return rows
}

/** What a late departure looked like from where it was late. */
function lateLine(
  { history }: World,
  watcher: Actor,
  victim: Actor,
  at: number,
  goneAt: number,
  tookMs: number,
): string {
  const suspected = history.suspicions.filter(
    (one) => one.by === watcher.name && one.peer === victim.peer && one.at >= at,
  )
  const times = suspected.map((one) => one.at - at).join(', ')
  return `LATE ${victim.name}, the fault took ${tookMs} ms: ${watcher.name} suspected it after ${times} ms and gave it up after ${goneAt - at} ms`
}

/** Work that the victim has its part in when it leaves. */
async function giveWork(world: World, by: Actor, victim: Actor): Promise<void> {
  const { history } = world
  const label = `leave-${history.submissions.size}`
  const from = history.starts.length
  history.submit(label, 'work', 40, by.name)
  by.order({ type: 'submit', kind: 'work', label, count: 40, ms: 40 })
  await world.until(() => history.starts.slice(from).some(({ peer }) => peer === victim.peer), missedAfterMs)
}

function leaveOf(world: World, from: number): DetectionReport['leave'] {
  const { history } = world
  const submissions = [...history.submissions.values()].slice(from)
  const jobs = new Set(submissions.map(({ job }) => job ?? ''))
  const starts = history.starts.filter(({ task }) => jobs.has(task.slice(0, task.lastIndexOf('/'))))
  const tasks = new Set(starts.map(({ task }) => task)).size
  return { tasks, executedAgain: starts.length - tasks }
}

/** Nobody dies while all processors are busy and a tab is hidden. */
async function stayQuiet(world: World, minutes: number): Promise<DetectionReport['quiet']> {
  const hidden = await world.startHiddenPage(1)
  await world.meets(hidden, missedAfterMs)
  const burners: ChildProcess[] = []
  try {
    const { departures, suspicions } = world.history
    const from = { departures: departures.length, suspicions: suspicions.length }
    for (let no = 0; no < availableParallelism(); no += 1)
      burners.push(spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }))
    world.log(`${burners.length} processors busy, one tab hidden, for ${minutes} minutes`)
    await world.until(() => false, minutes * 60_000)
    const visibility = String(await hidden.tab.evaluate('document.visibilityState'))
    const timersPerS = Number(
      await hidden.tab.evaluate(`new Promise((resolve) => {
        let count = 0
        const timer = setInterval(() => count++, 10)
        const worker = new Worker(URL.createObjectURL(new Blob(['setTimeout(() => postMessage(0), 3000)'])))
        worker.onmessage = () => { clearInterval(timer); resolve(count / 3) }
      })`),
    )
    return {
      minutes,
      falseDeaths: departures.length - from.departures,
      suspicions: suspicions.length - from.suspicions,
      visibility,
      timersPerS,
    }
  } finally {
    for (const burner of burners) burner.kill('SIGKILL')
  }
}
