import {
  errorRecord,
  PackedPayload,
  type Payload,
  type ServiceHost,
  type ServiceNews,
  type ServiceRun,
} from '../../../index.ts'
import type { Gate, SimLoop } from '../clock.ts'
import type { SimRng } from '../rng.ts'

/*
 * The service of a simulated world keeps a list of tokens. A call appends its token and answers with the length then
 * and the token before it: two numbers that say where in the one serial order the call stands.
 */

/** Numbers as a payload. */
export function packNumbers(numbers: readonly number[]): Payload {
  return new PackedPayload(new Uint8Array(Uint32Array.from(numbers).buffer))
}

export function unpackNumbers(payload: Payload): readonly number[] {
  const bytes = payload.pack()
  return [...new Uint32Array(bytes.slice().buffer)]
}

interface Instance {
  readonly tokens: number[]
  readonly queue: (() => ServiceNews | null)[]
  isBusy: boolean
}

export interface SimServiceHost extends ServiceHost {
  /** Kills the worker of one instance; `false` when none runs. */
  killWorker(index: number): boolean
}

/** Instances on virtual time: each does one thing after the other. */
export function createSimServiceHost(loop: SimLoop, gate: Gate, rng: SimRng): SimServiceHost {
  const instances = new Map<number, Instance>()
  const listeners = new Set<(news: readonly ServiceNews[]) => void>()
  const tell = (news: ServiceNews): void => {
    for (const listener of [...listeners]) listener([news])
  }
  const slowMs = rng.pick([0.2, 2, 20])
  const work = (number: number, instance: Instance): void => {
    if (instance.isBusy) return
    const next = instance.queue.shift()
    if (next === undefined) return
    instance.isBusy = true
    loop.at(loop.now() - Math.log(1 - rng.next()) * slowMs, gate, () => {
      if (instances.get(number) !== instance) return
      instance.isBusy = false
      const news = next()
      if (news !== null) tell(news)
      work(number, instance)
    })
  }
  const later = (number: number, job: (instance: Instance) => ServiceNews | null): void => {
    const instance = instances.get(number)
    if (instance === undefined) return
    instance.queue.push(() => job(instance))
    work(number, instance)
  }
  return {
    prepare: () => undefined,
    unprepare: () => undefined,
    open(number, _spec, state) {
      instances.set(number, {
        tokens: state === null ? [] : [...unpackNumbers(state)],
        queue: [],
        isBusy: false,
      })
      later(number, () => ({ type: 'opened', instance: number, error: null }))
    },
    run(number, calls) {
      for (const call of calls) {
        later(number, ({ tokens }) => ({
          type: 'ran',
          instance: number,
          ended: [{ seq: call.seq, outcome: append(tokens, call) }],
        }))
      }
    },
    snapshot(number, seq) {
      later(number, ({ tokens }) => ({
        type: 'snapshot',
        instance: number,
        seq,
        state: packNumbers(tokens),
        error: null,
      }))
    },
    close(number) {
      instances.delete(number)
    },
    onNews(listener) {
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
      }
    },
    onBody: () => () => undefined,
    taskSettled: () => undefined,
    killWorker(index) {
      const number = [...instances.keys()][index % Math.max(1, instances.size)]
      if (number === undefined) return false
      instances.delete(number)
      tell({ type: 'died', instance: number, error: errorRecord('E_WORKER', 'the simulated worker died') })
      return true
    },
  }
}

function append(
  tokens: number[],
  { args, method }: ServiceRun,
): { status: 'done'; value: Payload } | { status: 'failed'; error: ReturnType<typeof errorRecord> } {
  const [token = 0] = unpackNumbers(args)
  if (method === 'refuse') return { status: 'failed', error: errorRecord('E_REFUSED', `not ${token}`) }
  const before = tokens.at(-1) ?? 0
  tokens.push(token)
  return { status: 'done', value: packNumbers([tokens.length, before]) }
}
