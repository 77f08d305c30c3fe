import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { pathToFileURL } from 'node:url'
import { ShoalError } from '@shoal/scheduler'
import { localMesh, type Operation, operation } from '../node.ts'
import type { Mesh, Task } from '../types.ts'
import { type Arguments, type Command, usageError } from './command.ts'
import { joinSoon, memberFlags, meshOptions } from './member.ts'
import { type Terminal, toJson, toLine } from './terminal.ts'

/** Items in flight: enough for the batches of a busy room, bounded for endless input. */
const windowItems = 1_024

/** Longer without any processor is worth a remark. */
const starvedMs = 3_000

/** Runs a module's function on items, here or in a room. */
export const run: Command = {
  name: 'run',
  usage: '<module> [item ...] [flags]',
  summary: 'runs a function of a module on each item or line',
  flags: {
    stdin: { type: 'boolean', help: 'one item per line of standard input; results come in the same order' },
    export: { type: 'string', help: 'which export is the function (default: default, or the only one)' },
    invite: {
      type: 'string',
      help: 'run in this room (default: SHOAL_INVITE, else the workers of this machine)',
    },
    ...memberFlags,
  },
  async run(args, terminal) {
    const [path, ...items] = args.positionals
    if (path === undefined) throw usageError('a module is needed: none given', run)
    if (args.has('stdin') && items.length > 0)
      throw usageError('items come from --stdin or as arguments', run)
    const body = await loadOperation(path, args.text('export'))
    const mesh = await openMesh(args, terminal)
    // Ends whatever waits for a result, too.
    terminal.stop.addEventListener('abort', () => void mesh.close(), { once: true })
    try {
      if (args.has('stdin')) await pipeLines(mesh, body, args, terminal)
      else if (items.length > 0) await pipe(mesh, body, items, args, terminal)
      else await printResult(mesh.spawn(body), 0, args, terminal)
    } finally {
      await mesh.close()
    }
    return terminal.stop.aborted ? 130 : 0
  },
}

async function openMesh(args: Arguments, terminal: Terminal): Promise<Mesh> {
  const invite = args.text('invite') ?? process.env['SHOAL_INVITE']
  const options = meshOptions(args)
  if (invite === undefined) {
    return await localMesh({ workers: availableParallelism(), ...options, signal: terminal.stop })
  }
  const mesh = await joinSoon(invite, options, terminal)
  noteStarvation(mesh, terminal)
  return mesh
}

/** A room needs a moment to be seen: only what lasts is worth a remark. */
function noteStarvation(mesh: Mesh, terminal: Terminal): void {
  let timer: NodeJS.Timeout | null = null
  mesh.on('starved', () => {
    timer ??= setTimeout(() => {
      timer = null
      if (mesh.health().processors > 0 || terminal.stop.aborted) return
      terminal.note('! The work waits: nobody in the room lends a processor')
    }, starvedMs)
    timer.unref()
  })
}

async function loadOperation(
  path: string,
  wanted: string | undefined,
): Promise<Operation<unknown[], unknown>> {
  let source: string
  try {
    source = await readFile(path, 'utf8')
  } catch (error) {
    throw new ShoalError(
      'E_MODULE',
      `Cannot read the module as its file must exist: current value is "${path}"`,
      {
        cause: error,
        data: { fix: 'give the path of a JavaScript module' },
      },
    )
  }
  const name = await chooseExport(path, wanted)
  return operation(name === 'default' ? path.replace(/^.*\//, '') : name, { source, export: name })
}

/** Its import also shows errors of the module here, in the words of this machine, before anything travels. */
async function chooseExport(path: string, wanted: string | undefined): Promise<string> {
  let module: Record<string, unknown>
  try {
    module = await import(pathToFileURL(path).href)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new ShoalError('E_MODULE', `Cannot load the module "${path}": ${reason}`, {
      cause: error,
      data: { fix: 'it must be a JavaScript module (.mjs) without imports' },
    })
  }
  const names = Object.keys(module).filter((name) => typeof module[name] === 'function')
  const name = wanted ?? (names.includes('default') || names.length !== 1 ? 'default' : names[0])
  if (name !== undefined && names.includes(name)) return name
  throw new ShoalError(
    'E_NO_FUNCTION',
    `Cannot run "${path}" as its export "${name}" must be a function: its functions are ${names.join(', ') || 'none'}`,
  )
}

async function pipeLines(
  mesh: Mesh,
  body: Operation<unknown[], unknown>,
  args: Arguments,
  terminal: Terminal,
): Promise<void> {
  const lines = createInterface({ input: terminal.input, crlfDelay: Number.POSITIVE_INFINITY })
  const close = (): void => lines.close()
  terminal.stop.addEventListener('abort', close)
  try {
    await pipe(mesh, body, lines, args, terminal)
  } finally {
    terminal.stop.removeEventListener('abort', close)
    close()
    // An open standard input would keep the process alive after a failure.
    terminal.input.destroy()
  }
}

/** Spawns ahead of the output by one window, and prints in order, each result as soon as it may be. */
async function pipe(
  mesh: Mesh,
  body: Operation<unknown[], unknown>,
  items: Iterable<string> | AsyncIterable<string>,
  args: Arguments,
  terminal: Terminal,
): Promise<void> {
  async function* spawnAll(): AsyncGenerator<{ task: Task<unknown> }> {
    // A bare task would be awaited on its way through the stream.
    for await (const item of items) yield { task: mesh.spawn(body, parseItem(item)) }
  }
  let index = 0
  for await (const { task } of Readable.from(spawnAll(), { highWaterMark: windowItems })) {
    if (terminal.stop.aborted) return
    await printResult(task, index, args, terminal)
    index += 1
  }
}

/** `7` is a number and `{"a":1}` an object; all else is text. */
function parseItem(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

async function printResult(
  task: Task<unknown>,
  index: number,
  args: Arguments,
  terminal: Terminal,
): Promise<void> {
  const value = await task
  await terminal.print(args.isJson ? toJson({ index, value }) : toLine(value))
}
