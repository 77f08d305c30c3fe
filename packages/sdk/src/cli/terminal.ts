import { once } from 'node:events'
import type { Readable, Writable } from 'node:stream'

/** What a command sees of the world outside: tests give it streams of their own. */
export interface Terminal {
  readonly input: Readable
  /** Results, one line each, to standard output; waits while the reader is slower than we are. */
  print(line: string): Promise<void>
  /** Remarks for people, to standard error: never part of a pipe. */
  note(line: string): void
  /** Aborted by Ctrl-C or SIGTERM: the command leaves politely and ends. */
  readonly stop: AbortSignal
}

/** Builds a terminal on three streams. A reader that went away (`| head`) aborts `stop`. */
export function createTerminal(streams: {
  readonly input: Readable
  readonly output: Writable
  readonly errors: Writable
  readonly stop: AbortController
}): Terminal {
  const { input, output, errors, stop } = streams
  output.on('error', () => stop.abort())
  return {
    input,
    async print(line) {
      if (stop.signal.aborted || output.write(`${line}\n`)) return
      await once(output, 'drain', { signal: stop.signal }).catch(() => undefined)
    },
    note: (line) => void errors.write(`${line}\n`),
    stop: stop.signal,
  }
}

/** Resolves when `signal` aborts. */
export function whenStopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

/** `value` as one line of JSON; bigints and typed arrays, which tasks may give, do not break it. */
export function toJson(value: unknown): string {
  const text = JSON.stringify(value, (_key, field: unknown) => {
    if (typeof field === 'bigint') return field.toString()
    if (ArrayBuffer.isView(field) && 'length' in field) return Array.from(field as Uint8Array)
    return field
  })
  // `undefined` and functions have no JSON: a line is printed all the same, so that lines match items.
  return text ?? 'null'
}

/** How a result looks on a line of its own: text as it is, all else as JSON. */
export function toLine(value: unknown): string {
  return typeof value === 'string' ? value.replaceAll('\n', '\\n') : toJson(value)
}
