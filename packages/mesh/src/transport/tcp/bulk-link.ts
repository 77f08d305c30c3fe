import type { Link } from '@shoal/scheduler'
import { takeBody } from '../../bodies.ts'
import { LINE_MESSAGE_BYTES_MAX } from '../limits.ts'
import { tooLarge } from '../link.errors.ts'
import { createLinkEvents, type ReportError } from '../listeners.ts'
import { kinds, type Stream } from './stream.ts'

const nothing = new Uint8Array(0)

function checkSize(sizeBytes: number): void {
  if (sizeBytes > LINE_MESSAGE_BYTES_MAX) throw tooLarge(sizeBytes, LINE_MESSAGE_BYTES_MAX)
}

/** A link that is one proven line and nothing else: when it breaks, its user dials again. */
export function createBulkLink(remoteAddress: string, stream: Stream, report: ReportError): Link {
  const events = createLinkEvents(report)
  stream.setReader({
    bytesMax: LINE_MESSAGE_BYTES_MAX,
    memory: takeBody,
    onMessage(kind, body) {
      if (kind === kinds.data && events.deliver(body)) return
      stream.close()
      events.close(kind === kinds.bye ? 'bye' : 'protocol')
    },
    onDrain: events.drained,
    onGone: () => void events.close('lost'),
  })
  stream.resume()
  return {
    remoteAddress,
    channel: 'bulk',
    messageBytesMax: LINE_MESSAGE_BYTES_MAX,
    // The proof of the line took the place of certificates.
    binding: null,
    get bufferedBytes() {
      return events.isClosed ? 0 : stream.bufferedBytes
    },
    send(message) {
      checkSize(message.byteLength)
      if (!events.isClosed) stream.send(kinds.data, message)
    },
    sendParts(front, rest) {
      checkSize(front.byteLength + rest.byteLength)
      if (!events.isClosed) stream.sendParts(kinds.data, front, rest)
    },
    onMessage: events.onMessage,
    onDrain: events.onDrain,
    onClose: events.onClose,
    close() {
      if (!events.close('closed-here')) return
      stream.send(kinds.bye, nothing)
      stream.close()
    },
  }
}
