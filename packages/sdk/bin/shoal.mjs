#!/usr/bin/env node
// Runs what was built; in a clone that was not built, the sources.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const built = new URL('../dist/cli/entry.js', import.meta.url)
if (existsSync(built)) {
  await import(built.href)
} else {
  const source = fileURLToPath(new URL('../src/cli/entry.ts', import.meta.url))
  const loader = import.meta.resolve('tsx')
  const child = spawn(
    process.execPath,
    ['--import', loader, '--conditions=development', source, ...process.argv.slice(2)],
    { stdio: 'inherit' },
  )
  for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => child.kill(name))
  child.on('exit', (code) => {
    process.exitCode = code ?? 1
  })
}
