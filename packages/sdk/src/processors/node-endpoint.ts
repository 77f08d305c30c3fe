import type { Endpoint } from 'comlink'

/** What Node's workers and their parent's port have in common. */
interface NodePort {
  // biome-ignore lint/suspicious/noExplicitAny: Comlink's own contract
  postMessage(message: any, transfer?: any): void
  on(event: 'message', listener: (data: unknown) => void): unknown
  off(event: 'message', listener: (data: unknown) => void): unknown
}

type Listener = Parameters<Endpoint['addEventListener']>[1]

/** A Node port as Comlink wants it: with the events of the web. */
export function nodeEndpoint(port: NodePort): Endpoint {
  const listeners = new Map<Listener, (data: unknown) => void>()
  return {
    postMessage: (message, transfer) => port.postMessage(message, transfer),
    addEventListener(_type, listener) {
      const onData = (data: unknown): void => {
        const event = { data } as MessageEvent
        if (typeof listener === 'function') listener(event)
        else listener.handleEvent(event)
      }
      listeners.set(listener, onData)
      port.on('message', onData)
    },
    removeEventListener(_type, listener) {
      const onData = listeners.get(listener)
      listeners.delete(listener)
      if (onData !== undefined) port.off('message', onData)
    },
  }
}
