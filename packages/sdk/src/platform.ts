import type { Invite } from '@shoal/mesh'
import type { Clock, Transport } from '@shoal/scheduler'
import type { WorkerHandle } from './processors/worker-handle.ts'

/** What differs between a browser page and a Node process. */
export interface Platform {
  readonly clock: Clock
  /** Processors of this machine, as far as the platform tells. */
  readonly cores: number
  /** A name for people, the same at every start. */
  readonly name: string
  startWorker(): WorkerHandle
  /** The way to the peers of the room that `invite` names. */
  createTransport(invite: Invite): Promise<Transport>
}
