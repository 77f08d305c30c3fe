/** A message port as Node has it. */
interface NodePort {
  on(event: 'message', listener: (message: unknown) => void): void
}

/** Hears what comes over a port. In Node without an event object for each message, which costs several times more. */
export function listenTo<T>(port: MessagePort, listener: (message: T) => void): void {
  if ('on' in port) (port as unknown as NodePort).on('message', listener as (message: unknown) => void)
  else (port as MessagePort).onmessage = (event: MessageEvent) => listener(event.data)
}
