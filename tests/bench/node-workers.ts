import { Worker } from 'node:worker_threads'
import { wrap } from 'comlink'
import { Piscina } from 'piscina'
import { type ComlinkApi, comlinkSystem } from './comlink-system.ts'
import { type System, workersPerSystem } from './systems.ts'
import { comlinkEndpoint } from './work/comlink-endpoint.ts'

const file = (name: string): URL => new URL(`./${name}.js`, import.meta.url)

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
