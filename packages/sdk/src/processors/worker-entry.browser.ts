import { expose } from 'comlink'
import { createWorkerControl } from './worker-control.ts'

// Nothing tells a page that a worker closed itself: a body that could do so would never end.
Object.defineProperty(globalThis, 'close', {
  value: () => {
    throw new TypeError('Cannot close the worker as it is shared by many tasks')
  },
})

const turns = new MessageChannel()
const waiting: (() => void)[] = []
turns.port1.onmessage = () => waiting.shift()?.()

expose(
  createWorkerControl({
    moduleUrl: (source) => URL.createObjectURL(new Blob([source], { type: 'text/javascript' })),
    releaseUrl: (url) => URL.revokeObjectURL(url),
    nextTurn: (callback) => {
      waiting.push(callback)
      turns.port2.postMessage(null)
    },
  }),
)
