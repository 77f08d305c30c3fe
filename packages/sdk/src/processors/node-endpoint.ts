import type { Endpoint } from 'comlink'

/** What Node's workers and their parent's port have in common. */
interface NodePort {
  // biome-ignore lint/suspicious/noExplicitAny: Comlink's own contract
  postMessage(message: any, transfer?: any): void
  on(event: 'message', listener: (data: unknown) => void): unknown
}

type Listener = Parameters<Endpoint['addEventListener']>[1]

/** A Node port as Comlink wants it: with the events of the web. */
export function nodeEndpoint(port: NodePort): Endpoint {
  const listeners = new Set<Listener>()
  // Once and for all: each new listener of a Node port would keep the process alive again.
  port.on('message', (data) => {
    const event = { data } as MessageEvent
    for (const listener of [...listeners]) {
      if (typeof listener === 'function') listener(event)
      else listener.handleEvent(event)
    }
  })
  return {
    postMessage: (message, transfer) => port.postMessage(message, transfer),
    addEventListener: (_type, listener) => void listeners.add(listener),
    removeEventListener: (_type, listener) => void listeners.delete(listener),
  }
}
