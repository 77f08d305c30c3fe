import type { Event } from '../core/events.ts'
import { ChunkPayload, innerChunks } from '../model/chunk.ts'
import { type ErrorRecord, errorRecord } from '../model/errors.ts'
import { type TaskRef, taskIdOf } from '../model/ids.ts'
import { PackedPayload, type Payload } from '../model/payload.ts'
import type { Outcome } from '../model/task.ts'
import type { BodyRequest, Clock, ProcessorHost, ServiceHost } from '../ports.ts'
import { type RuntimeChunks, recordOf } from './chunks.ts'

/** Bodies that run on this peer, and what they want of the room. */
export interface BodyDesk {
  /** Some body waits for a task. */
  readonly isWatching: boolean
  ask(this: void, request: BodyRequest): void
  /** Tells the bodies that wait for it. */
  settled(this: void, ref: TaskRef, outcome: Outcome): void
}

export interface BodyDeskParts {
  readonly host: ProcessorHost
  readonly serviceHost?: ServiceHost
  readonly clock: Clock
  /** `null`: this peer keeps none. */
  chunks(): RuntimeChunks | null
  enqueue(event: Event): void
}

/** Turns requests of bodies into events, and outcomes into answers. */
export function createBodyDesk({ host, serviceHost, clock, chunks, enqueue }: BodyDeskParts): BodyDesk {
  const watches = new Set<string>()

  const fetch = ({
    chunk,
    done,
  }: Pick<Extract<BodyRequest, { readonly type: 'chunk' }>, 'chunk' | 'done'>): void =>
    withChunks(
      chunks(),
      `get chunk "${chunk.ref.id}"`,
      async (kept) => new PackedPayload(await kept.fetch(chunk)),
      done,
    )

  const put = ({ value, done }: Extract<BodyRequest, { readonly type: 'put' }>): void =>
    withChunks(chunks(), 'put a value', (kept) => kept.put(value.bytes, innerChunks(value)), done)

  const tell = (ref: TaskRef, outcome: Outcome): void => {
    host.taskSettled(ref, outcome)
    serviceHost?.taskSettled(ref, outcome)
  }

  const settled = (ref: TaskRef, outcome: Outcome): void => {
    if (watches.size === 0 || !watches.delete(taskIdOf(ref))) return
    if (outcome.status !== 'done' || !(outcome.value instanceof ChunkPayload)) {
      tell(ref, outcome)
      return
    }
    const done = (value: Payload | null, error: ErrorRecord | null): void => {
      if (value !== null) tell(ref, { ...outcome, value })
      else if (error !== null) tell(ref, { status: 'failed', error, origin: ref, attempts: 1, peer: null })
    }
    fetch({ chunk: outcome.value, done })
  }

  const ask = (request: BodyRequest): void => {
    const at = clock.now()
    switch (request.type) {
      case 'spawn':
        enqueue({ ...request, type: 'children-spawned', at })
        return
      case 'submit': {
        const { job, name, specs } = request
        enqueue({ type: 'tasks-submitted', at, job, name, specs })
        return
      }
      case 'seal':
        enqueue({ type: 'job-sealed', at, job: request.job })
        return
      case 'watch':
        for (const ref of request.refs) watches.add(taskIdOf(ref))
        enqueue({ type: 'tasks-watched', at, refs: request.refs })
        return
      case 'cancel': {
        const { ref, reason } = request
        enqueue({ type: 'tasks-cancelled', at, job: ref.job, nos: [ref.no], reason })
        return
      }
      case 'chunk':
        fetch(request)
        return
      case 'put':
        put(request)
        return
      case 'release':
        enqueue({ type: 'chunk-released', at, chunk: request.chunk })
        return
      case 'yield':
        enqueue({ type: 'body-yielded', at, callId: request.callId })
        return
      case 'resume':
        enqueue({ type: 'body-resumed', at, callId: request.callId })
    }
  }

  return {
    get isWatching() {
      return watches.size > 0
    },
    ask,
    settled,
  }
}

function withChunks<T>(
  chunks: RuntimeChunks | null,
  what: string,
  action: (chunks: RuntimeChunks) => Promise<T>,
  done: (value: T | null, error: ErrorRecord | null) => void,
): void {
  if (chunks === null) {
    const text = `Cannot ${what} as this peer must keep chunks: current value is none`
    done(null, errorRecord('E_CHUNK_REF', text))
    return
  }
  action(chunks).then(
    (value) => done(value, null),
    (error: unknown) => done(null, recordOf(error)),
  )
}
