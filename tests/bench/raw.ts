import { type OpName, runOp } from './ops.ts'
import type { System } from './systems.ts'

/** A worker as the raw references see it, in Node and in a page alike. */
export interface RawWorker {
  post(message: unknown, transfer?: ArrayBuffer[]): void
  onMessage(listener: (message: never) => void): void
  end(): Promise<void>
}

type Call = readonly [id: number, op: OpName, arg: unknown]
type Request = Call | { readonly b: readonly Call[] } | { readonly f: Float64Array; readonly id: number }
type Reply = readonly unknown[] | { readonly b: readonly unknown[] }

/** What a raw worker answers: `[id, value]`, or one list for a frame. */
export function serveRaw(post: (message: unknown, transfer?: ArrayBuffer[]) => void): (m: Request) => void {
  return (m) => {
    if ('f' in m) post([m.id, m.f], [m.f.buffer as ArrayBuffer])
    else if ('b' in m) {
      const out: unknown[] = []
      for (const [id, op, arg] of m.b) out.push(id, runOp(op, arg))
      post({ b: out })
    } else post([m[0], runOp(m[1], m[2])])
  }
}

/** Tasks in one frame. */
const frameMax = 256

/** The references: what hand-written message passing costs. They share their workers. */
export interface RawSystems {
  /** A message and a promise for each task, round robin. */
  readonly raw1: System
  /** A promise for each task; messages cut once per turn, at 256 tasks. */
  readonly rawTurn: System
  /** Frames of 256, one promise for each frame. */
  rawMap(op: OpName, items: readonly unknown[]): Promise<unknown[]>
  /** The same for numbers in one typed array, handed over and back. */
  rawFloats(items: Float64Array, frame: number): Promise<Float64Array>
  /** `window` tasks in flight for each worker. */
  rawPull(window: number): System
  close(): Promise<void>
}

export function createRaw(workers: readonly RawWorker[]): RawSystems {
  const pending = new Map<number, (value: never) => void>()
  let next = 0
  const W = workers.length
  for (const worker of workers) {
    worker.onMessage((m: Reply) => {
      const e = 'b' in m ? m.b : m
      for (let i = 0; i < e.length; i += 2) {
        const done = pending.get(e[i] as number) as (value: never) => void
        pending.delete(e[i] as number)
        done(e[i + 1] as never)
      }
    })
  }
  const one = (w: number, op: OpName, arg: unknown): Promise<unknown> =>
    new Promise((resolve) => {
      const id = next++
      pending.set(id, resolve)
      workers[w]?.post([id, op, arg])
    })
  const close = async (): Promise<void> => {
    await Promise.all(workers.map((worker) => worker.end()))
  }
  const nothing = (): Promise<void> => Promise.resolve()
  let turn = 0
  return {
    raw1: { name: 'raw-1', run: (op, arg) => one(turn++ % W, op, arg), close: nothing },
    rawTurn: { name: 'raw-turn', run: createTurn(workers, pending, () => next++), close: nothing },
    rawMap: (op, items) => mapFrames(workers, pending, () => next++, op, items),
    rawFloats: (items, frame) => mapFloats(workers, pending, () => next++, items, frame),
    rawPull: (window) => ({ name: `raw-pull-${window}`, run: createPull(W, window, one), close: nothing }),
    close,
  }
}

type Pending = Map<number, (value: never) => void>

function createTurn(workers: readonly RawWorker[], pending: Pending, nextId: () => number): System['run'] {
  const queues: Call[][] = workers.map(() => [])
  let isArmed = false
  const flush = (): void => {
    isArmed = false
    queues.forEach((queue, w) => {
      queues[w] = []
      for (let s = 0; s < queue.length; s += frameMax) workers[w]?.post({ b: queue.slice(s, s + frameMax) })
    })
  }
  return (op, arg) =>
    new Promise((resolve) => {
      const id = nextId()
      pending.set(id, resolve)
      queues[id % workers.length]?.push([id, op, arg])
      if (isArmed) return
      isArmed = true
      queueMicrotask(flush)
    })
}

async function mapFrames(
  workers: readonly RawWorker[],
  pending: Pending,
  nextId: () => number,
  op: OpName,
  items: readonly unknown[],
): Promise<unknown[]> {
  const out: unknown[] = new Array(items.length)
  const frames: Promise<void>[] = []
  for (let s = 0, f = 0; s < items.length; s += frameMax, f++) {
    frames.push(
      new Promise<void>((done) => {
        const end = Math.min(items.length, s + frameMax)
        const b: Call[] = []
        let left = end - s
        for (let i = s; i < end; i++) {
          const id = nextId()
          b.push([id, op, items[i]])
          pending.set(id, (value) => {
            out[i] = value
            if (--left === 0) done()
          })
        }
        workers[f % workers.length]?.post({ b })
      }),
    )
  }
  await Promise.all(frames)
  return out
}

async function mapFloats(
  workers: readonly RawWorker[],
  pending: Pending,
  nextId: () => number,
  items: Float64Array,
  frame: number,
): Promise<Float64Array> {
  const out = new Float64Array(items.length)
  const frames: Promise<void>[] = []
  for (let s = 0, w = 0; s < items.length; s += frame, w++) {
    frames.push(
      new Promise<void>((done) => {
        const id = nextId()
        pending.set(id, (values: Float64Array) => {
          out.set(values, s)
          done()
        })
        const f = items.slice(s, s + frame)
        workers[w % workers.length]?.post({ f, id }, [f.buffer])
      }),
    )
  }
  await Promise.all(frames)
  return out
}

function createPull(
  count: number,
  window: number,
  one: (w: number, op: OpName, arg: unknown) => Promise<unknown>,
): System['run'] {
  const waiting: { op: OpName; arg: unknown; resolve: (value: unknown) => void }[] = []
  const free: number[] = []
  for (let k = 0; k < window; k++) for (let w = 0; w < count; w++) free.push(w)
  const pump = (): void => {
    while (free.length > 0 && waiting.length > 0) {
      const w = free.shift() as number
      const { op, arg, resolve } = waiting.shift() as (typeof waiting)[number]
      void one(w, op, arg).then((value) => {
        resolve(value)
        free.push(w)
        pump()
      })
    }
  }
  return (op, arg) =>
    new Promise((resolve) => {
      waiting.push({ op, arg, resolve })
      pump()
    })
}
