import { type PeerId, ShoalError } from '@shoal/scheduler'

export interface InboxesOptions {
  /** What one peer may have waiting, in bytes. */
  readonly bytesMax: number
  /** A promise: the peer's next message has to wait for it. It never rejects. */
  handle(from: PeerId, message: Uint8Array): Promise<void> | undefined
  onRefused(error: ShoalError, from: PeerId): void
}

/** Keeps the order of each peer's messages while one of them waits for a signature to be checked. */
export interface Inboxes {
  receive(from: PeerId, message: Uint8Array): void
}

interface Inbox {
  readonly messages: Uint8Array[]
  bytes: number
}

export function createInboxes({ bytesMax, handle, onRefused }: InboxesOptions): Inboxes {
  const waiting = new Map<PeerId, Inbox>()

  function waitFor(from: PeerId, later: Promise<void>): void {
    void later.then(() => drain(from))
  }

  function drain(from: PeerId): void {
    const inbox = waiting.get(from)
    for (let message = inbox?.messages.shift(); message !== undefined; message = inbox?.messages.shift()) {
      ;(inbox as Inbox).bytes -= message.length
      const later = handle(from, message)
      if (later !== undefined) {
        waitFor(from, later)
        return
      }
    }
    waiting.delete(from)
  }

  return {
    receive(from, message) {
      const inbox = waiting.get(from)
      if (inbox === undefined) {
        const later = handle(from, message)
        if (later === undefined) return
        waiting.set(from, { messages: [], bytes: 0 })
        waitFor(from, later)
      } else if (inbox.bytes + message.length > bytesMax) {
        const text = `Cannot keep a message of ${from} as at most ${bytesMax} bytes may wait`
        onRefused(new ShoalError('E_QUOTA', `${text}: current value is ${inbox.bytes}`), from)
      } else {
        inbox.messages.push(message)
        inbox.bytes += message.length
      }
    },
  }
}
