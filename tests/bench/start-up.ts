import { localMesh } from '@shoal/sdk'
import { noop } from './ops.ts'
import { createRaw } from './raw.ts'
import { startRawWorker } from './start-raw.node.ts'
import { paired, type Row, rowsOf } from './stats.ts'

/** From nothing to the first result: a worker of a mesh against a bare one. */
export async function benchB8(pairs: number): Promise<Row[]> {
  const mesh = await localMesh({ workers: 0 })
  const samples = await paired(Math.min(pairs, 7), [
    {
      name: 'raw',
      async once() {
        const startedAt = performance.now()
        const raw = createRaw([startRawWorker()])
        await raw.raw1.run('noop', 1)
        const ms = performance.now() - startedAt
        await raw.close()
        return ms
      },
    },
    {
      name: 'shoal',
      async once() {
        const startedAt = performance.now()
        const lent = mesh.lend(1)
        await mesh.spawn(noop, 1)
        const ms = performance.now() - startedAt
        await lent
        await mesh.lend(0)
        return ms
      },
    },
  ])
  await mesh.close()
  return rowsOf({ bench: 'B8', place: 'local', metric: 'worker', unit: 'ms' }, samples, ['raw'])
}
