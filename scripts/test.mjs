// `npm test`: installs what is missing, then every check. `npm test -- unit sim` runs some of them.
// The last line is `N passed, N failed, N skipped` over all of them.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureChromium, ensurePackages, runTool } from './setup.mjs'

const parts = {
  lint: () => check('biome', ['check', '.', '--max-diagnostics=40']),
  types: () => check('tsc', ['-b', '--force']),
  demo: () => check('vite', ['build', 'apps/demo', '--logLevel', 'warn']),
  unit: () => vitest('unit'),
  sim: () => vitest('sim'),
  browser: () => vitest('browser', 'browser-gpu'),
  e2e: () => vitest('e2e', 'start'),
}

/** One check that counts as one test. */
async function check(tool, args) {
  const { code } = await runTool(tool, args)
  return code === 0 ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 }
}

/** Some vitest projects in a process of their own. */
async function vitest(...names) {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-test-'))
  const file = join(folder, 'report.json')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
  try {
    const projects = names.map((name) => `--project=${name}`)
    const { code } = await runTool('vitest', ['run', ...projects, '--passWithNoTests', ...reporters])
    return count(file, code)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function count(file, code) {
  let report = null
  try {
    report = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    // No report: nothing ran, or vitest itself broke; its exit code tells which.
    return { passed: 0, failed: code === 0 ? 0 : 1, skipped: 0 }
  }
  // A file that cannot be loaded or set up has no test that failed: it counts as one.
  const broken = report.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  ).length
  const failed = report.numFailedTests + broken
  return {
    passed: report.numPassedTests,
    // An unhandled error fails the run although no test failed.
    failed: failed === 0 && code !== 0 ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests,
  }
}

async function main() {
  const unknown = process.argv.slice(2).filter((name) => !(name in parts))
  if (unknown.length > 0) {
    throw new Error(`Cannot run "${unknown.join(' ')}": the parts are ${Object.keys(parts).join(', ')}`)
  }
  const chosen = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(parts)
  await ensurePackages()
  // vitest.config.ts reads the browser's path, whichever project runs.
  if (chosen.some((name) => name === 'browser' || name === 'e2e')) {
    process.env.CHROMIUM_PATH = await ensureChromium()
  }
  const total = { passed: 0, failed: 0, skipped: 0 }
  const lines = []
  for (const name of chosen) {
    console.log(`\n=== ${name} ===`)
    const startedAt = Date.now()
    const result = await parts[name]()
    for (const key of Object.keys(total)) total[key] += result[key]
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(1)
    lines.push(`${name.padEnd(8)} ${sum(result)}  (${seconds} s)`)
    console.log(lines.at(-1))
  }
  console.log(`\n=== all ===\n${lines.join('\n')}`)
  return total
}

function sum({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

main().then(
  (total) => {
    process.exitCode = total.failed === 0 ? 0 : 1
    console.log(sum(total))
  },
  (error) => {
    process.exitCode = 1
    console.error(error instanceof Error ? error.message : error)
    console.log('0 passed, 1 failed, 0 skipped')
  },
)
