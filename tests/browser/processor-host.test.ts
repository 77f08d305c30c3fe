import { processorHostContract } from '@shoal/scheduler/testing'
import { startBrowserWorker } from '../../packages/sdk/src/processors/worker.browser.ts'
import { createWorkerHostFixture } from '../support/worker-host-fixture.ts'

for (const resultForm of ['live', 'packed'] as const) {
  processorHostContract({
    name: `browser workers, ${resultForm} results`,
    create: async ({ isPatient }) => createWorkerHostFixture(startBrowserWorker, resultForm, isPatient),
    // A page is never told that a worker died, and bodies cannot close theirs.
    deadlySource: null,
  })
}
