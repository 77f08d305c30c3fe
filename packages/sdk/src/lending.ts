import { checkWorkers } from './mesh-options.ts'
import type { WorkerHost } from './processors/index.ts'
import type { Lending } from './types.ts'

/** What a peer lends, on top of its workers. */
export function createLending(host: WorkerHost, workers: number): Lending {
  let lent = workers
  return {
    get workers() {
      return lent
    },
    async lend(wanted) {
      checkWorkers(wanted)
      lent = wanted
      host.resize(wanted)
      await host.ready()
    },
  }
}
