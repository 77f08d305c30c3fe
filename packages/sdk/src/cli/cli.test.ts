import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { main } from './main.ts'
import { createTerminal, toJson, toLine } from './terminal.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'shoal-cli-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function moduleFile(name: string, source: string): string {
  const path = join(folder, name)
  writeFileSync(path, source)
  return path
}

/** Runs the real command line on streams of our own. */
function start(argv: readonly string[]) {
  const [input, output, errors] = [new PassThrough(), new PassThrough(), new PassThrough()]
  const stop = new AbortController()
  const code = main(argv, createTerminal({ input, output, errors, stop })).finally(() => {
    output.end()
    errors.end()
  })
  return { input, output, errors, stop, code }
}

async function finish(argv: readonly string[], input = '') {
  const program = start(argv)
  program.input.end(input)
  const [code, output, errors] = await Promise.all([program.code, text(program.output), text(program.errors)])
  return { code, output, errors }
}

describe('shoal', () => {
  test('--help lists the commands, and each command has its own', async () => {
    const overview = await finish(['--help'])
    expect(overview.code).toBe(0)
    for (const name of ['up', 'join', 'run', 'status', 'doctor']) {
      expect(overview.output).toContain(`\n  ${name} `)
      const help = await finish([name, '--help'])
      expect(help).toMatchObject({ code: 0, errors: '' })
      expect(help.output).toContain('--json')
    }
  })

  test.each([
    [['fly'], 'none of the commands'],
    [['run', '--fast', 'x.mjs'], "Unknown option '--fast'"],
    [['run'], 'a module is needed'],
    [['join'], 'one invite is needed'],
    [['up', '--gpu', '--no-gpu'], '--no-gpu goes with no other flag about GPUs'],
    [['up', '--port', '70000'], '--port must be a whole number from 0 to 65535: current value is "70000"'],
  ])('%j ends with code 2 and one line', async (argv, reason) => {
    const { code, output, errors } = await finish(argv)
    expect(code).toBe(2)
    expect(output).toBe('')
    expect(errors).toContain(reason)
    expect(errors).toMatch(/^shoal: E_USAGE: .* To fix: .*\n$/)
  })

  test('--json gives the failure as a record', async () => {
    const { code, errors } = await finish(['run', join(folder, 'missing.mjs'), '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(errors)).toMatchObject({ error: { code: 'E_MODULE', fix: expect.any(String) } })
  })

  test('join with a text that is no invite says so', async () => {
    const { code, errors } = await finish(['join', 'not-an-invite'])
    expect(code).toBe(1)
    expect(errors).toMatch(/^shoal: E_INVITE: [^\n]*\n$/)
  })
})

describe('shoal run', () => {
  const square = 'export default (n) => n * n\n'

  test('runs the items of the command line', async () => {
    const path = moduleFile('square.mjs', square)
    expect(await finish(['run', path, '3', '4', '--workers', '1'])).toEqual({
      code: 0,
      output: '9\n16\n',
      errors: '',
    })
  })

  test('keeps the order of the lines', async () => {
    const path = moduleFile('square.mjs', square)
    const input = Array.from({ length: 3_000 }, (_, n) => `${n}\n`).join('')
    const { code, output } = await finish(['run', path, '--stdin', '--workers', '2'], input)
    expect(code).toBe(0)
    expect(output).toBe(Array.from({ length: 3_000 }, (_, n) => `${n * n}\n`).join(''))
  })

  test('answers each line before the next one comes', async () => {
    const path = moduleFile('square.mjs', square)
    const program = start(['run', path, '--stdin', '--workers', '1'])
    const lines = createInterface({ input: program.output })[Symbol.asyncIterator]()
    for (const n of [2, 3, 4]) {
      program.input.write(`${n}\n`)
      expect((await lines.next()).value).toBe(String(n * n))
    }
    program.input.end()
    expect(await program.code).toBe(0)
  })

  test('takes text and records, names an export, prints JSON', async () => {
    const path = moduleFile(
      'shape.mjs',
      'export const area = ({ w, h }) => w * h\nexport const up = (s) => s + "!"\n',
    )
    const named = await finish(['run', path, '--export', 'area', '{"w":2,"h":3}', '--json', '--workers', '1'])
    expect(named.output).toBe('{"index":0,"value":6}\n')
    const plain = await finish(['run', path, '--export', 'up', 'hello', '--workers', '1'])
    expect(plain.output).toBe('hello!\n')
    const unknown = await finish(['run', path, '1'])
    expect(unknown).toMatchObject({ code: 1, output: '' })
    expect(unknown.errors).toContain('E_NO_FUNCTION')
    expect(unknown.errors).toContain('area, up')
  })

  test('a failing item ends the run with its reason', async () => {
    const path = moduleFile(
      'fail.mjs',
      'export default (n) => { if (n === 2) throw new Error("two"); return n }\n',
    )
    const { code, output, errors } = await finish(['run', path, '--stdin', '--workers', '1'], '1\n2\n3\n')
    expect(code).toBe(1)
    expect(output).toBe('1\n')
    expect(errors).toMatch(/^shoal: E_\w+: [^\n]*two[^\n]*\n$/)
  })

  test('stops in the middle of endless input', async () => {
    const path = moduleFile('square.mjs', square)
    const program = start(['run', path, '--stdin', '--workers', '1'])
    let written = 0
    const feed = (): void => {
      while (!program.stop.signal.aborted && program.input.write(`${written++}\n`));
    }
    program.input.on('drain', feed)
    feed()
    program.output.once('data', () => program.stop.abort())
    expect(await program.code).toBe(130)
  })
})

test('values that JSON lacks still make one line', () => {
  expect(toJson(undefined)).toBe('null')
  expect(toJson({ big: 10n, bytes: new Uint8Array([1, 2]) })).toBe('{"big":"10","bytes":[1,2]}')
  expect(toLine('two\nlines')).toBe('two\\nlines')
})
