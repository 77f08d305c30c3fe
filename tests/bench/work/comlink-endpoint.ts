import type { MessagePort, Worker } from 'node:worker_threads'
import type { Endpoint } from 'comlink'

/** What Comlink's own Node adapter does: its import path does not work from modules. */
export function comlinkEndpoint(port: Worker | MessagePort): Endpoint {
  const wrapped = new WeakMap<object, (data: unknown) => void>()
  return {
    postMessage: (message, transfer) => port.postMessage(message, transfer as never[]),
    addEventListener(_type, listener) {
      const call = (data: unknown): void => {
        if (typeof listener === 'function') listener({ data } as MessageEvent)
        else listener.handleEvent({ data } as MessageEvent)
      }
      wrapped.set(listener, call)
      port.on('message', call)
    },
    removeEventListener(_type, listener) {
      const call = wrapped.get(listener)
      if (call !== undefined) port.off('message', call)
    },
  }
}
