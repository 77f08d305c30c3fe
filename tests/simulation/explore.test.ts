import { runWorld, type SimMode } from '@shoal/scheduler/testing'
import { expect, test } from 'vitest'

/*
 * SEED=17 runs one world and prints its log; SEEDS=100000 looks further than the usual run. A seed that
 * finds something belongs into seeds.test.ts, by name, with the fix.
 */
const only = process.env['SEED']
const seeds = Number(process.env['SEEDS'] ?? 1500)
const parts = 10

if (only !== undefined) {
  test.each<SimMode>(['liveness', 'safety'])(`[SIM] seed ${only} breaks no rule: %s`, (mode) => {
    const report = runWorld({ seed: Number(only), mode, log: (line) => process.stdout.write(`${line}\n`) })
    expect(report.violations).toEqual([])
  })
}

describeParts('liveness', Math.ceil(seeds / parts))
describeParts('safety', Math.ceil(seeds / 2 / parts))

/** Many short tests rather than a long one, so that a busy machine meets no time limit. */
function describeParts(mode: SimMode, perPart: number): void {
  if (only !== undefined) return
  test.each(Array.from({ length: parts }, (_, part) => part))(
    `[SIM] ${mode}: no rule is broken, part %i`,
    (part) => {
      const found: string[] = []
      let faults = 0
      for (let seed = part * perPart + 1; seed <= (part + 1) * perPart; seed++) {
        const report = runWorld({ seed, mode })
        faults += report.stats.faults
        if (report.violations.length > 0)
          found.push(`SEED=${seed} (${mode}): ${report.violations.join('\n  ')}`)
      }
      expect(found).toEqual([])
      expect(faults).toBeGreaterThan(perPart)
    },
  )
}
