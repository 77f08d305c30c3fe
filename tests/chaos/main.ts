import { parseArgs } from 'node:util'
import { type DetectionReport, measureDetection } from './detection.ts'
import { type ChaosReport, isGood, runChaos } from './run.ts'
import { isGoodForServices, percentileOf, runServiceChaos } from './services.ts'

// `npm run chaos -- [--minutes 3] [--seed n] [--tasks 2000] [--only text] [--quick] [--json]`
// `npm run chaos -- --services [--times 20] [--only kill] [--json]`
// `npm run chaos -- --detection [--times 10] [--minutes 10] [--only text] [--json]`

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string' },
    tasks: { type: 'string' },
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    detection: { type: 'boolean', default: false },
    services: { type: 'boolean', default: false },
    times: { type: 'string' },
  },
})

function table(report: ChaosReport): string {
  const { verdict } = report
  const rows: readonly (readonly [string, string])[] = [
    ['seed', String(report.seed)],
    ['faults', `${report.faults} in ${report.seconds.toFixed(0)} s`],
    ...Object.entries(report.byFault).map(([name, count]) => [`  ${name}`, String(count)] as const),
    ['tasks accepted', String(verdict.tasks)],
    ['tasks not accepted in time', String(verdict.tasksNotAccepted)],
    ['lost', String(verdict.lost.length)],
    ['wrong', String(verdict.wrong.length)],
    ['outcomes changed', String(verdict.changed.length)],
    ['executions per task', verdict.executionsPerTask.toFixed(3)],
    ['  told to other readers and corrected later', String(verdict.corrected.length)],
    ['lost tasks that ran elsewhere', String(verdict.recoveries.length)],
    ['  p50', `${report.recoveryP50Ms} ms`],
    ['  p99', `${report.recoveryP99Ms} ms`],
    ...verdict.recoveries.map(
      ({ ms, kind, wasOwner, course }) =>
        [`  ${kind}${wasOwner ? ' of the owner' : ''}`, `${ms} ms: ${course}`] as const,
    ),
    ['misbehaving tasks', report.special.map(({ kind, code }) => `${kind}: ${code}`).join(', ')],
    ['troubles', String(report.troubles.length)],
  ]
  const details = [...verdict.lost, ...verdict.wrong, ...verdict.changed, ...report.troubles]
  return [...rows.map(([name, value]) => `${name.padEnd(50)} ${value}`), ...details].join('\n')
}

function detectionTable({ rows, leave, quiet }: DetectionReport): string {
  const lines = rows.map(
    ({ fault, watcher, count, p50Ms, p99Ms, missed }) =>
      `${fault.padEnd(30)} ${watcher}  ${`${p50Ms}`.padStart(6)} ${`${p99Ms}`.padStart(6)}  of ${count}, missed ${missed}`,
  )
  if (leave !== null) lines.push(`executed again when peers left: ${leave.executedAgain} of ${leave.tasks}`)
  if (quiet !== null) {
    const { minutes, falseDeaths, suspicions, visibility, timersPerS } = quiet
    lines.push(`false deaths in ${minutes} busy minutes: ${falseDeaths}; suspicions: ${suspicions}`)
    lines.push(`the tab behind: ${visibility}, ${timersPerS.toFixed(1)} main timers a second`)
  }
  return ['fault                          seen by   p50    p99 ms', ...lines].join('\n')
}

const log = values.json ? () => undefined : console.log
const only = values.only === undefined ? {} : { only: values.only }

async function runFaults(): Promise<boolean> {
  const minutes = Number(values.minutes ?? (values.quick ? 0.5 : 3))
  const report = await runChaos({
    seed: Number(values.seed ?? Math.floor(Math.random() * 1e9)),
    durationMs: minutes * 60_000,
    everyMs: 3_000,
    tasks: Number(values.tasks ?? Math.round(minutes * 667)),
    nodes: 3,
    pages: 3,
    ...only,
    log,
  })
  console.log(values.json ? JSON.stringify(report) : `\n${table(report)}`)
  return isGood(report)
}

async function runDetection(): Promise<boolean> {
  const report = await measureDetection({
    times: Number(values.times ?? (values.quick ? 3 : 10)),
    quietMinutes: Number(values.minutes ?? (values.quick ? 0.5 : 10)),
    ...only,
    log,
  })
  console.log(values.json ? JSON.stringify(report) : `\n${detectionTable(report)}`)
  return report.rows.every(({ missed }) => missed === 0) && (report.quiet?.falseDeaths ?? 0) === 0
}

const serviceFaults = ['kill', 'leave', 'page-close', 'page-crash', 'page-reload', 'page-leave'] as const

async function runServices(): Promise<boolean> {
  const kinds = serviceFaults.filter((fault) => fault.includes(values.only ?? ''))
  const times = Number(values.times ?? (values.quick ? 2 : 20))
  const report = await runServiceChaos({
    faults: kinds.flatMap((fault) => Array.from({ length: times }, () => fault)),
    log,
  })
  const lines = kinds.map((kind) => {
    const all = report.recoveries.filter(({ fault }) => fault === kind).map(({ ms }) => ms)
    const [p50, p95] = [percentileOf(all, 0.5), percentileOf(all, 0.95)]
    return `${kind.padEnd(14)} longest wait p50 ${p50} ms, p95 ${p95} ms, of ${all.length}`
  })
  const { calls, broken, failed } = report
  const summary = `${calls} calls answered, ${broken.length} lost, doubled or out of order, ${failed.length} failed`
  console.log(values.json ? JSON.stringify(report) : ['', summary, ...lines, ...broken, ...failed].join('\n'))
  return isGoodForServices(report)
}

function run(): Promise<boolean> {
  if (values.services) return runServices()
  return values.detection ? runDetection() : runFaults()
}

process.exit((await run()) ? 0 : 1)
