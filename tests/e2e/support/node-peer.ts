import { startShoal } from '../../support/program.ts'

/** A peer without a screen, in a process of its own: `shoal join`, from the build. */
export interface NodePeer {
  readonly id: string
  /** Ends it as a power cut would: no goodbye. */
  kill(): Promise<void>
  /** Stops it as a closed lid does, in the middle of everything. */
  pause(): void
  /** Lets it go on after {@link pause}. */
  resume(): void
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
  const folder = dataDir === undefined ? [] : ['--data-dir', dataDir]
  const program = startShoal([
    'join',
    invite,
    '--name',
    name,
    '--workers',
    String(workers),
    '--json',
    ...folder,
  ])
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    await program.stop(signal)
  }
  try {
    const { peer } = JSON.parse(await program.line(/"event":"joined"/)) as { readonly peer: string }
    return {
      id: peer,
      kill: () => end('SIGKILL'),
      pause: () => void program.child.kill('SIGSTOP'),
      resume: () => void program.child.kill('SIGCONT'),
      stop: () => end('SIGINT'),
    }
  } catch (error) {
    await end('SIGKILL')
    throw error
  }
}
