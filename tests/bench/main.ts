import { availableParallelism } from 'node:os'
import { type Selection, select } from './arguments.ts'
import { runNode } from './node.ts'
import { load1, printJson, tableOf } from './report.ts'
import type { Row } from './stats.ts'

const selection = select(process.argv.slice(2))
const rows: Row[] = []
const env = { node: process.version, browser: '', cores: availableParallelism() }

const startedAt = load1()
await runAll(selection)
if (!selection.isJson) {
  console.log(tableOf(rows))
  console.log(
    `\nNode ${env.node} ${env.browser}, ${env.cores} cores, load ${startedAt} before and ${load1()} after`,
  )
}
process.exit(0)

async function runAll(chosen: Selection): Promise<void> {
  for (const { ids, run } of runNode(chosen)) {
    const title = ids.join(', ')
    if (!chosen.isJson) console.error(`${title} (load ${load1()}) ...`)
    try {
      for (const row of await run()) {
        rows.push(row)
        if (chosen.isJson) printJson(row, env)
      }
    } catch (error) {
      process.exitCode = 1
      console.error(`${title} failed:`, error)
    }
  }
}
