import { connect, createServer, type Socket } from 'node:net'
import { type Channel, secondsOf } from './bare.ts'

/*
 * A TCP connection with nothing on top but lengths: what the system itself can do between the same two processes.
 */

const frameBytes = 64
const batchFrames = 256
const chunkBytes = 64 * 1024
const highBytes = 2 ** 20

/** Kinds of messages: to be echoed; the bytes of a transfer that follow; a request for one; part of a transfer. */
const kinds = { echo: 0, expect: 1, send: 2, part: 3 } as const

/** The other process: listens for one connection, and does as it is told there. Gives the port. */
export function answerTcp(): Promise<number> {
  const server = createServer({ noDelay: true }, (socket) => {
    let left = 0
    socket.on('error', () => {})
    read(socket, (kind, body) => {
      if (kind === kinds.echo) write(socket, kinds.echo, body)
      else if (kind === kinds.expect) left = body.readUInt32BE(0)
      else if (kind === kinds.send) void pour(socket, body.readUInt32BE(0))
      else {
        left -= body.length
        if (left <= 0) write(socket, kinds.echo, Buffer.alloc(1))
      }
    })
  })
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      server.unref()
      resolve((server.address() as { readonly port: number }).port)
    })
  })
}

/** This process's end. */
export async function callTcp(port: number): Promise<Channel> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  let onMessage: (body: Buffer) => void = () => {}
  read(socket, (_kind, body) => onMessage(body))
  const echoed = (message: Buffer, count: number): Promise<void> =>
    new Promise((resolve) => {
      let left = count
      onMessage = () => {
        if (--left === 0) resolve()
      }
      for (let i = 0; i < count; i++) write(socket, kinds.echo, message)
    })
  const taken = async (bytes: number): Promise<void> => {
    const acknowledged = new Promise<void>((resolve) => {
      onMessage = () => resolve()
    })
    write(socket, kinds.expect, number(bytes))
    await pour(socket, bytes)
    await acknowledged
  }
  const given = (bytes: number): Promise<void> =>
    new Promise((resolve) => {
      let left = bytes
      onMessage = (body) => {
        left -= body.length
        if (left <= 0) resolve()
      }
      write(socket, kinds.send, number(bytes))
    })
  return {
    ping: () => echoed(Buffer.alloc(frameBytes), 1),
    each: async (count) => count / (await secondsOf(() => echoed(Buffer.alloc(frameBytes), count))),
    async batched(messages) {
      const seconds = await secondsOf(() => echoed(Buffer.alloc(frameBytes * batchFrames), messages))
      return (messages * batchFrames) / seconds
    },
    bulk: async (bytes) => bytes / 1e6 / (await secondsOf(() => taken(bytes))),
    pull: async (bytes) => bytes / 1e6 / (await secondsOf(() => given(bytes))),
    close: () => socket.destroy(),
  }
}

async function pour(socket: Socket, bytes: number): Promise<void> {
  const message = Buffer.alloc(chunkBytes, 1)
  for (let sent = 0; sent < bytes; sent += chunkBytes) {
    write(socket, kinds.part, message)
    if (socket.writableLength >= highBytes) await new Promise((resolve) => socket.once('drain', resolve))
  }
}

function number(value: number): Buffer {
  const body = Buffer.alloc(4)
  body.writeUInt32BE(value)
  return body
}

function write(socket: Socket, kind: number, body: Buffer): void {
  const head = Buffer.allocUnsafe(4)
  head.writeUInt32BE(kind * 2 ** 24 + body.length)
  socket.cork()
  socket.write(head)
  socket.write(body)
  socket.uncork()
}

function read(socket: Socket, onMessage: (kind: number, body: Buffer) => void): void {
  let rest = Buffer.alloc(0)
  /** Collected until the message is whole, so that a long one is joined once. */
  let parts: Buffer[] = []
  let partBytes = 0
  socket.on('data', (chunk: Buffer) => {
    parts.push(chunk)
    partBytes += chunk.length
    const length = rest.length + partBytes
    if (rest.length >= 4 && length < 4 + rest.readUIntBE(1, 3)) return
    let all = Buffer.concat([rest, ...parts])
    parts = []
    partBytes = 0
    while (all.length >= 4) {
      const end = 4 + all.readUIntBE(1, 3)
      if (all.length < end) break
      onMessage(all[0] as number, all.subarray(4, end))
      all = all.subarray(end)
    }
    rest = all
  })
}
