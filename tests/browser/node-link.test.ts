import { createBrowserTransport } from '@shoal/mesh/browser'
import type { Link } from '@shoal/scheduler'
import { expect, inject, onTestFinished, test } from 'vitest'

function join(): ReturnType<typeof createBrowserTransport> {
  const transport = createBrowserTransport({ signalling: inject('signalling'), room: inject('echo').room })
  onTestFinished(() => transport.close())
  return transport
}

function nextMessage(link: Link): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const off = link.onMessage((message) => {
      off()
      resolve(message)
    })
    link.onClose((reason) => reject(new Error(`The link closed: ${reason}`)))
  })
}

test('a page sees a Node process, dials it, and gets the largest message back unchanged', async () => {
  const page = join()
  const { address } = inject('echo')
  await new Promise<void>((resolve) => page.onSeen((seen) => (seen === address ? resolve() : undefined)))
  const link = await page.dial(address, 'control')
  const message = Uint8Array.from({ length: link.messageBytesMax }, (_, at) => (at * 7) & 255)
  link.send(message)
  const back = await nextMessage(link)
  expect(back.byteLength).toBe(message.byteLength)
  expect(back.every((byte, at) => byte === message[at])).toBe(true)
  expect(link.binding?.local).toMatch(/^sha-256 (?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/)
  expect(link.binding?.remote).not.toBe(link.binding?.local)
})

test('a Node process dials a page', async () => {
  const page = join()
  const arrived = new Promise<Link>((resolve) => page.onLink(resolve))
  const link = await page.dial(inject('echo').address, 'control')
  link.send(new TextEncoder().encode('dial back'))
  const back = await arrived
  expect([back.channel, back.remoteAddress]).toEqual(['bulk', inject('echo').address])
  expect(new TextDecoder().decode(await nextMessage(back))).toBe('dial back')
})
