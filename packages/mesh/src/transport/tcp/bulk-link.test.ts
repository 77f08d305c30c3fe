import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { LINE_MESSAGE_BYTES_MAX } from '../limits.ts'
import { createBulkLink } from './bulk-link.ts'
import { createStream } from './stream.ts'

const silent = { bytesMax: 0, onMessage() {}, onDrain() {}, onGone() {} }

async function linkPair() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const near = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [far] = (await once(server, 'connection')) as [Socket]
  server.close()
  const links = [near, far].map((socket) => {
    const stream = createStream(socket, silent)
    stream.pause()
    return createBulkLink('there', stream, (error) => {
      throw error
    })
  })
  return links as [ReturnType<typeof createBulkLink>, ReturnType<typeof createBulkLink>]
}

test('[WP6] a message in two parts arrives as one, among others, in order, in memory of its own', async () => {
  const [near, far] = await linkPair()
  const got: Uint8Array[] = []
  const sizes = [1, 70_000, 262_000, 262_168, 5, LINE_MESSAGE_BYTES_MAX - 24]
  const rests = Array.from({ length: 18 }, (_, no) =>
    new Uint8Array(sizes[no % sizes.length] as number).fill(no + 1),
  )
  const all = new Promise<void>((resolve) => {
    far.onMessage((message) => {
      got.push(message)
      if (got.length === 2 * rests.length) resolve()
    })
  })
  for (const [no, rest] of rests.entries()) {
    near.sendParts?.(new Uint8Array(24).fill(no), rest)
    near.send(Uint8Array.of(no))
  }
  await all
  for (const [no, rest] of rests.entries()) {
    const [whole, small] = [got[2 * no] as Uint8Array, got[2 * no + 1]]
    expect(small).toEqual(Uint8Array.of(no))
    expect(whole.subarray(0, 24)).toEqual(new Uint8Array(24).fill(no))
    expect(Buffer.compare(whole.subarray(24), rest)).toBe(0)
  }
  const tooLong = new Uint8Array(LINE_MESSAGE_BYTES_MAX)
  expect(() => near.sendParts?.(Uint8Array.of(1), tooLong)).toThrow(
    expect.objectContaining({ code: 'E_TOO_LARGE' }),
  )
  near.close()
  far.close()
})
