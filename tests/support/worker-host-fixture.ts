import {
  type OperationHash,
  type OperationRecord,
  type OperationStore,
  type PeerId,
  ShoalError,
} from '@shoal/scheduler'
import type { ProcessorHostFixture } from '@shoal/scheduler/testing'
import { operationFrom } from '../../packages/sdk/src/code/index.ts'
import { createWorkerHost, type WorkerHandle } from '../../packages/sdk/src/processors/index.ts'
import { LivePayload, payloadValue } from '../../packages/sdk/src/values/index.ts'

/** Two real workers with a store of operations, some of which only "another peer" has. */
export function createWorkerHostFixture(
  startWorker: () => WorkerHandle,
  resultForm: 'live' | 'packed',
  isPatient: boolean,
): ProcessorHostFixture {
  const here = new Map<OperationHash, OperationRecord>()
  const elsewhere = new Map<OperationHash, OperationRecord>()
  const added: string[] = []
  const operations: OperationStore = {
    add(operation) {
      added.push(operation.hash)
      here.set(operation.hash, operation)
    },
    get: (hash) => here.get(hash) ?? null,
    async fetch(hash) {
      const found = elsewhere.get(hash)
      if (found === undefined) throw new ShoalError('E_NO_FUNCTION', 'nobody has it')
      here.set(hash, found)
      return found
    },
  }
  const host = createWorkerHost({
    peer: 'peer-1' as PeerId,
    count: 2,
    startWorker,
    operations,
    resultForm,
    ...(isPatient ? { abortGraceMs: 10_000 } : {}),
  })
  return {
    host,
    operation(source, isHere = true) {
      const record = operationFrom({ source }, { name: 'tested' })
      const store = isHere ? here : elsewhere
      store.set(record.hash, record)
      return record.hash
    },
    added: () => added,
    payload: (value) => new LivePayload(value),
    value: (payload) => payloadValue(payload),
    gate(name) {
      const channel = new BroadcastChannel(name)
      const arrived = new Promise((resolve) => {
        channel.onmessage = resolve
      })
      return {
        open() {
          void arrived.then(() => channel.postMessage('go'))
        },
      }
    },
  }
}
