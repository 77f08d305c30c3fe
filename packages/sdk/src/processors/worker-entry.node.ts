import { parentPort } from 'node:worker_threads'
import { expose } from 'comlink'
import { nodeEndpoint } from './node-endpoint.ts'
import { createWorkerControl } from './worker-control.ts'

// A promise that a body forgot must not take the other bodies down with it.
process.on('uncaughtException', (error) => console.error('A task left an error behind:', error))
process.on('unhandledRejection', (error) => console.error('A task left a rejection behind:', error))

if (parentPort !== null) {
  const control = createWorkerControl({
    moduleUrl: (source) => `data:text/javascript;base64,${Buffer.from(source, 'utf8').toString('base64')}`,
    releaseUrl: () => {},
    nextTurn: (callback) => {
      setImmediate(callback)
    },
  })
  expose(control, nodeEndpoint(parentPort))
}
