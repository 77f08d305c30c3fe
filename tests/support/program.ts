import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const cli = fileURLToPath(new URL('../../packages/sdk/dist/cli/entry.js', import.meta.url))

/** Lets Node run TypeScript: programs of the tests are not built, packages are. */
export const typescript: readonly string[] = ['--import', 'tsx']

/** A program that runs beside the test. */
export interface Program {
  readonly child: ChildProcess
  /** All lines of standard output so far. */
  readonly lines: readonly string[]
  /** All of standard error so far. */
  readonly errors: string
  /** The first line that matches, which may come later; rejects when the program ends without one. */
  line(pattern: RegExp): Promise<string>
  /** Its exit code; `null` when a signal ended it. */
  readonly ended: Promise<number | null>
  /** Ends it, politely by default, and waits for its end. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

/** Starts `shoal` as it ships, from the build. */
export function startShoal(args: readonly string[], env: Record<string, string> = {}): Program {
  return startNode([cli, ...args], env)
}

/** Starts Node on a script; packages are used from the build. */
export function startNode(
  args: readonly string[],
  env: Record<string, string> = {},
  flags: readonly string[] = [],
): Program {
  const child = spawn(process.execPath, [...flags, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const lines: string[] = []
  const watchers = new Set<() => void>()
  const wake = (): void => {
    for (const watch of watchers) watch()
  }
  let errors = ''
  let hasEnded = false
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line)
    wake()
  })
  child.stderr.on('data', (data) => {
    errors += data
  })
  // A program that ends early closes its input: that is for its exit code to say.
  child.stdin.on('error', () => undefined)
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve)).then((code) => {
    hasEnded = true
    wake()
    return code
  })
  return {
    child,
    lines,
    get errors() {
      return errors
    },
    ended,
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const watch = (): void => {
          const found = lines.find((line) => pattern.test(line))
          if (found === undefined && !hasEnded) return
          watchers.delete(watch)
          if (found !== undefined) resolve(found)
          else reject(new Error(`The program ended without ${pattern}:\n${lines.join('\n')}\n${errors}`))
        }
        watchers.add(watch)
        watch()
      }),
    stop(signal = 'SIGTERM') {
      if (!hasEnded) child.kill(signal)
      return ended
    },
  }
}
