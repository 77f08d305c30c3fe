import type {
  BodyRequest,
  Clock,
  JobId,
  OperationStore,
  Outcome,
  PeerId,
  TaskRef,
  Unsubscribe,
} from '@shoal/scheduler'
import { type ChunkRelay, createChunkRelay } from './chunk-relay.ts'
import { OutcomeRelay } from './outcome-relay.ts'
import type { WorkerNotice } from './protocol.ts'
import { requestOf } from './spawn-request.ts'
import type { WorkerSlot } from './worker-slot.ts'

interface Spawned {
  readonly job: JobId
  nextNo: number
}

/**
 * What methods of services ask of the mesh: they are served as bodies of tasks are, and what they spawn is work of
 * this peer. A class for its lifetime: one for all services here.
 */
export class ServiceBodies {
  readonly #operations: Pick<OperationStore, 'add'>
  readonly #listeners = new Set<(request: BodyRequest) => void>()
  readonly #relay = new OutcomeRelay()
  readonly #chunks: ChunkRelay
  /** What calls that run have spawned: all that is of one call is one job. */
  readonly #spawned = new Map<WorkerSlot, Map<number, Spawned>>()
  /** No start of any peer makes a job of the same name. */
  readonly #jobPrefix: string
  #jobsMade = 0

  constructor(peer: PeerId, operations: Pick<OperationStore, 'add'>, clock: Clock) {
    this.#operations = operations
    const start = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => (byte % 36).toString(36))
    this.#jobPrefix = `${peer.slice(0, 6)}-${start.join('')}-s`
    this.#chunks = createChunkRelay(clock, (request) => this.#ask(request))
  }

  onBody(listener: (request: BodyRequest) => void): Unsubscribe {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  settled(ref: TaskRef, outcome: Outcome): void {
    this.#relay.settle(ref, outcome)
  }

  /** @param name what jobs are called that it makes */
  onNotice(slot: WorkerSlot, name: string, notice: WorkerNotice): void {
    switch (notice.type) {
      case 'spawn':
        this.#spawn(slot, name, notice)
        break
      case 'watch': {
        const refs = notice.refs.filter((ref) => this.#relay.watch(ref, slot))
        if (refs.length > 0) this.#ask({ type: 'watch', refs })
        break
      }
      case 'chunk':
      case 'put':
        this.#chunks.ask(slot, notice)
        break
      case 'cancel':
        this.#ask(notice)
    }
  }

  /** The job of a call is complete: until now each of its tasks could be an input of the next. */
  callEnded(slot: WorkerSlot, callId: number): void {
    this.#chunks.ended(callId)
    const jobs = this.#spawned.get(slot)
    const found = jobs?.get(callId)
    if (found === undefined) return
    jobs?.delete(callId)
    this.#ask({ type: 'seal', job: found.job })
  }

  /** The worker is gone. */
  forget(slot: WorkerSlot): void {
    this.#relay.forget(slot)
    for (const { job } of this.#spawned.get(slot)?.values() ?? []) this.#ask({ type: 'seal', job })
    this.#spawned.delete(slot)
  }

  close(): void {
    this.#chunks.close()
  }

  #spawn(
    slot: WorkerSlot,
    name: string,
    { callId, within, requests, operations }: Extract<WorkerNotice, { readonly type: 'spawn' }>,
  ): void {
    for (const operation of operations) this.#operations.add(operation)
    const made = this.#spawned.get(slot)?.get(within) ?? this.#open(slot, within)
    const { job } = made
    const accepted: { readonly seq: number; readonly no: number }[] = []
    const specs = requests.map((request) => {
      const { seq, ...task } = requestOf(request)
      const no = made.nextNo++
      accepted.push({ seq, no })
      return { ...task, no, parent: null }
    })
    this.#ask({ type: 'submit', job, name, specs })
    if (slot.pendingCall(within) === undefined) this.callEnded(slot, within)
    slot.post({ type: 'accepted', callId, job, accepted })
  }

  #open(slot: WorkerSlot, within: number): Spawned {
    const made = { job: `${this.#jobPrefix}-${(this.#jobsMade++).toString(36)}` as JobId, nextNo: 0 }
    const jobs = this.#spawned.get(slot)
    if (jobs === undefined) this.#spawned.set(slot, new Map([[within, made]]))
    else jobs.set(within, made)
    return made
  }

  #ask(request: BodyRequest): void {
    for (const listener of this.#listeners) listener(request)
  }
}
