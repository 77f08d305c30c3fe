import { main } from './main.ts'
import { createTerminal } from './terminal.ts'
import { silenceEd25519Warning } from './warnings.ts'

silenceEd25519Warning()

const lingerMs = 1_000
const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  // The second signal ends the process at once, as if nobody listened.
  process.once(name, () => stop.abort())
}
if (process.connected) {
  // Started by a program that keeps a channel to us: when it dies, nobody is left to stop us.
  process.once('disconnect', () => stop.abort())
  process.channel?.unref()
}
const terminal = createTerminal({
  input: process.stdin,
  output: process.stdout,
  errors: process.stderr,
  stop,
})
process.exitCode = await main(process.argv.slice(2), terminal)
// Everything is closed by now; a native handle that lingers must not hold the shell.
setTimeout(() => process.exit(), lingerMs).unref()
