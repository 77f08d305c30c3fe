import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

test('a program ends by itself once it has closed its mesh, whatever failed in it unasked', async () => {
  const program = fileURLToPath(new URL('./testing/exits.ts', import.meta.url))
  const args = ['--import', 'tsx', '--conditions=development', program]
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { timeout: 60_000 })
  expect(stdout).toBe('sum 42\n')
  expect(stderr).toBe('')
}, 60_000)
