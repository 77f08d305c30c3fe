import { processorHostContract } from '@shoal/scheduler/testing'
import { startNodeWorker } from '../../packages/sdk/src/processors/worker.node.ts'
import { createWorkerHostFixture } from '../support/worker-host-fixture.ts'

for (const resultForm of ['live', 'packed'] as const) {
  processorHostContract({
    name: `worker threads, ${resultForm} results`,
    create: async ({ isPatient }) => createWorkerHostFixture(startNodeWorker, resultForm, isPatient),
    deadlySource: 'export default () => process.exit(3)',
  })
}
