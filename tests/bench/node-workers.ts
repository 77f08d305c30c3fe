import { Worker } from 'node:worker_threads'
import { type Remote, wrap } from 'comlink'
import { Piscina } from 'piscina'
import type { OpName } from './ops.ts'
import type { RawWorker } from './raw.ts'
import { type System, workersPerSystem } from './systems.ts'
import { comlinkEndpoint } from './work/comlink-endpoint.ts'

const file = (name: string): URL => new URL(`./${name}.js`, import.meta.url)

export function startRawWorker(): RawWorker {
  const worker = new Worker(file('raw-worker.node'))
  return {
    post: (message, transfer) => worker.postMessage(message, transfer),
    onMessage: (listener) => void worker.on('message', listener),
    end: async () => void (await worker.terminate()),
  }
}

export function piscina(inFlight: number): System {
  const pool = new Piscina({
    filename: file('piscina-worker').href,
    name: 'run',
    minThreads: workersPerSystem,
    maxThreads: workersPerSystem,
    concurrentTasksPerWorker: inFlight,
    maxQueue: Number.POSITIVE_INFINITY,
  })
  return { name: `piscina-${inFlight}`, run: (op, arg) => pool.run([op, arg]), close: () => pool.destroy() }
}

export function comlinkNode(): System {
  const workers = Array.from({ length: workersPerSystem }, () => new Worker(file('comlink-worker.node')))
  const remotes = workers.map((worker) => wrap<ComlinkApi>(comlinkEndpoint(worker)))
  return comlinkSystem(remotes, async () => void (await Promise.all(workers.map((one) => one.terminate()))))
}

interface ComlinkApi {
  run(op: OpName, arg: unknown): unknown
}

/** Round robin over Comlink proxies. */
export function comlinkSystem(remotes: readonly Remote<ComlinkApi>[], close: () => Promise<void>): System {
  let turn = 0
  return {
    name: 'comlink',
    run: (op, arg) => (remotes[turn++ % remotes.length] as Remote<ComlinkApi>).run(op, arg),
    close,
  }
}
