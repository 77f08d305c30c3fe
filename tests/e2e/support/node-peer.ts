import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const entry = fileURLToPath(new URL('../../../packages/sdk/dist/cli/entry.js', import.meta.url))

/** A peer without a screen, in a process of its own: `shoal join`, from the build. */
export interface NodePeer {
  readonly id: string
  /** Ends it as a power cut would: no goodbye. */
  kill(): Promise<void>
  /** Asks it to leave, as Ctrl-C does. Idempotent, also after {@link kill}. */
  stop(): Promise<void>
}

/** Starts the peer; resolves when it is in the room. With a folder it goes on where its last start ended. */
export async function startNodePeer(
  invite: string,
  name: string,
  workers: number,
  dataDir?: string,
): Promise<NodePeer> {
  const child = spawn(
    process.execPath,
    [
      entry,
      'join',
      invite,
      '--name',
      name,
      '--workers',
      String(workers),
      '--json',
      ...(dataDir === undefined ? [] : ['--data-dir', dataDir]),
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const exited = once(child, 'exit')
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal)
    await exited
  }
  try {
    const id = await joinedId(child)
    return { id, kill: () => end('SIGKILL'), stop: () => end('SIGINT') }
  } catch (error) {
    await end('SIGKILL')
    throw error
  }
}

async function joinedId(child: ChildProcess): Promise<string> {
  const { stdout, stderr } = child
  if (stdout === null || stderr === null) throw new Error('Cannot read the peer as its output is not piped')
  let complaints = ''
  stderr.on('data', (data) => {
    complaints += data
  })
  for await (const line of createInterface({ input: stdout })) {
    const report = JSON.parse(line) as { event: string; peer: string }
    if (report.event === 'joined') {
      // The rest is read and forgotten: a full pipe would stop the peer.
      stdout.resume()
      return report.peer
    }
  }
  throw new Error(`Cannot start a peer as it ended before it joined: current value is ${complaints}`)
}
