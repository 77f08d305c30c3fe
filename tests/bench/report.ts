import { loadavg } from 'node:os'
import type { Row } from './stats.ts'

/** What a row is held to: its ratio, or its own value where there is nothing to compare with. */
interface Goal {
  readonly bench: string
  readonly place?: string
  readonly system?: string
  readonly metric?: string
  /** `null`: the value itself. */
  readonly ratioTo: string | null
  readonly least?: number
  readonly most?: number
}

const goals: readonly Goal[] = [
  { bench: 'B1', ratioTo: 'piscina', least: 3 },
  { bench: 'B1', ratioTo: 'raw-turn', least: 0.2 },
  { bench: 'B1b', ratioTo: 'raw-map', least: 0.5 },
  { bench: 'B1r', ratioTo: 'bare-batched', least: 0.4 },
  { bench: 'B1r', metric: 'rate-floor', ratioTo: null, least: 40_000 },
  { bench: 'B2', ratioTo: 'raw-1', most: 1.4 },
  { bench: 'B2r', ratioTo: 'bare', most: 1.4 },
  { bench: 'B4', metric: 'speed-1ms', ratioTo: 'split', least: 0.97 },
  { bench: 'B4', metric: 'speed-10ms', ratioTo: 'split', least: 0.99 },
  { bench: 'B5', ratioTo: 'bare', least: 0.85 },
  { bench: 'B5', place: 'node', ratioTo: 'tcp', least: 0.5 },
  { bench: 'B6', place: 'local', ratioTo: 'raw-1', most: 1.5 },
  // 0.95 of its calls in the same time.
  { bench: 'B6', place: 'local', metric: 'p50', ratioTo: 'comlink', most: 1.05 },
  { bench: 'B6', system: 'shoal-none', ratioTo: 'bare', most: 1.5 },
  { bench: 'B6', system: 'shoal-none', metric: 'rate', ratioTo: null, least: 20_000 },
  { bench: 'B6', system: 'shoal-journal', metric: 'rate', ratioTo: null, least: 5_000 },
  { bench: 'B7', ratioTo: 'ideal', most: 1.1 },
  { bench: 'B8', metric: 'worker', ratioTo: 'raw', most: 1.5 },
  { bench: 'B8', metric: 'page-first-remote', ratioTo: null, most: 300 },
  { bench: 'S2', metric: 'sleep-efficiency', ratioTo: null, least: 0.85 },
]

export function goalOf(row: Row): Goal | null {
  if (!row.system.startsWith('shoal') || row.system.startsWith('shoal-floats')) return null
  return (
    goals.find(
      (goal) =>
        goal.bench === row.bench &&
        (goal.place === undefined || goal.place === row.place) &&
        (goal.system === undefined || goal.system === row.system) &&
        (goal.metric === undefined || goal.metric === row.metric) &&
        (goal.ratioTo === null ? row.ratioTo === null : (row.ratioTo?.startsWith(goal.ratioTo) ?? false)),
    ) ?? null
  )
}

export function isMet(row: Row, goal: Goal): boolean {
  const value = goal.ratioTo === null ? row.median : (row.ratio ?? Number.NaN)
  return value >= (goal.least ?? Number.NEGATIVE_INFINITY) && value <= (goal.most ?? Number.POSITIVE_INFINITY)
}

export interface Environment {
  readonly node: string
  readonly browser: string
  readonly cores: number
}

export function printJson(row: Row, env: Environment): void {
  const goal = goalOf(row)
  const held = goal === null ? {} : { goal: goal.least ?? goal.most, pass: isMet(row, goal) }
  console.log(JSON.stringify({ ...row, ...held, env: { ...env, load1: load1() } }))
}

export function load1(): number {
  return Math.round((loadavg()[0] ?? 0) * 10) / 10
}

const heads = [
  'bench',
  'place',
  'system',
  'metric',
  'median (min to max, n)',
  'ratio (min to max)',
  'goal',
  '',
  'note',
]

/** The table for people; also what the document holds. */
export function tableOf(rows: readonly Row[]): string {
  const lines = rows.map((row) => {
    const goal = goalOf(row)
    const ratio =
      row.ratio === null
        ? ''
        : `${short(row.ratio)} of ${row.ratioTo} (${short(row.ratioMin ?? 0)} to ${short(row.ratioMax ?? 0)})`
    return [
      row.bench,
      row.place,
      row.system,
      row.metric,
      `${short(row.median)} ${row.unit} (${short(row.min)} to ${short(row.max)}, ${row.n})`,
      ratio,
      goal === null
        ? ''
        : goal.least === undefined
          ? `<= ${short(goal.most ?? 0)}`
          : `>= ${short(goal.least)}`,
      goal === null ? '' : isMet(row, goal) ? 'pass' : 'FAIL',
      row.note,
    ]
  })
  const widths = heads.map((head, i) => Math.max(head.length, ...lines.map((line) => (line[i] ?? '').length)))
  const draw = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`
  return [draw(heads), draw(widths.map((width) => '-'.repeat(width))), ...lines.map(draw)].join('\n')
}

function short(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e6) return `${(value / 1e6).toFixed(2)} M`
  if (size >= 10_000) return `${(value / 1000).toFixed(0)} k`
  if (size >= 100) return value.toFixed(0)
  return size >= 10 ? value.toFixed(1) : value.toFixed(2)
}
