import type { Link, LinkChannel, Transport } from '@shoal/scheduler'

/**
 * Stands between a peer and its links: `frames` gets a copy of everything that arrives, and the functions
 * in `sends` say one more frame on each control link, numbered as if the peer had said it.
 */
export function tapped(
  transport: Transport,
  frames: Uint8Array[],
  sends: ((frame: Uint8Array) => void)[],
): Pick<Transport, 'dial' | 'onLink'> {
  const { dial, onLink } = transport
  const tap = (link: Link): Link => {
    let seq = 0
    const send = (frame: Uint8Array): void => {
      new DataView(frame.buffer, frame.byteOffset, frame.length).setUint32(2, seq++)
      link.send(frame)
    }
    if (link.channel === 'control') sends.push(send)
    return {
      channel: link.channel,
      remoteAddress: link.remoteAddress,
      messageBytesMax: link.messageBytesMax,
      binding: link.binding,
      get bufferedBytes() {
        return link.bufferedBytes
      },
      send,
      onMessage: (listener) =>
        link.onMessage((message) => {
          frames.push(message.slice())
          listener(message)
        }),
      onDrain: (listener) => link.onDrain(listener),
      onClose: (listener) => link.onClose(listener),
      close: () => link.close(),
    }
  }
  return {
    dial: async (address: string, channel: LinkChannel) => tap(await dial.call(transport, address, channel)),
    onLink: (listener: (link: Link) => void) => onLink.call(transport, (link) => listener(tap(link))),
  }
}
