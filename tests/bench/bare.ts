import type { RawWorker } from './raw.ts'

/*
 * A data channel with nothing on top: what the transport itself can do between the same two processes.
 */

const frameBytes = 64
const batchFrames = 256

type Answer = (data: unknown) => void

/** Waits until a description holds all candidates: no trickling, so one exchange of texts is enough. */
async function described(connection: RTCPeerConnection): Promise<string> {
  if (connection.iceGatheringState !== 'complete') {
    await new Promise<void>((resolve) => {
      connection.addEventListener('icegatheringstatechange', () => {
        if (connection.iceGatheringState === 'complete') resolve()
      })
    })
  }
  const { type, sdp } = connection.localDescription as RTCSessionDescription
  const isCandidate = (line: string): boolean => /^a=(candidate:|end-of-candidates)/.test(line)
  const lines = sdp.split(/\r?\n/)
  return JSON.stringify({
    type,
    sdp: lines.filter((line) => !isCandidate(line)).join('\r\n'),
    candidates: lines.filter((line) => line.startsWith('a=candidate:')).map((line) => line.slice(2)),
    mid: /^a=mid:(.*)$/.exec(lines.find((line) => line.startsWith('a=mid:')) ?? '')?.[1] ?? '0',
  })
}

/**
 * Only the one who offered gets candidates, and only once it has the answer: libdatachannel starts DTLS as soon
 * as it can reach the other side, be the fingerprint known or not. The other one learns where this side is
 * from its first packets.
 */
async function connect(connection: RTCPeerConnection, answer: string): Promise<void> {
  const { type, sdp, candidates, mid } = JSON.parse(answer)
  await connection.setRemoteDescription({ type, sdp })
  for (const candidate of candidates) await connection.addIceCandidate({ candidate, sdpMid: mid })
}

/** First byte of a message that the far end hands to a worker and back before it echoes it. */
const hopMark = 1

/**
 * The other process: echoes every message, or counts the bytes of a transfer and says when it is whole.
 * @param worker where a hop goes
 */
export async function answerBare(
  connection: RTCPeerConnection,
  offer: string,
  worker: RawWorker | null = null,
): Promise<string> {
  connection.addEventListener('datachannel', ({ channel }) => {
    channel.binaryType = 'arraybuffer'
    worker?.onMessage(([, data]: readonly [number, ArrayBuffer]) => channel.send(data))
    let left = 0
    channel.addEventListener('message', ({ data }: MessageEvent) => {
      if (typeof data === 'string' && data.startsWith('send ')) void pour(channel, Number(data.slice(5)))
      else if (typeof data === 'string') left = Number(data)
      else if (left === 0) {
        if (new Uint8Array(data)[0] === hopMark) worker?.post([0, 'noop', data])
        else channel.send(data as ArrayBuffer)
      } else {
        left -= (data as ArrayBuffer).byteLength
        if (left <= 0) {
          left = 0
          channel.send(new Uint8Array(1))
        }
      }
    })
  })
  const { type, sdp } = JSON.parse(offer)
  await connection.setRemoteDescription({ type, sdp })
  await connection.setLocalDescription(await connection.createAnswer())
  return described(connection)
}

/** A way to the other process with nothing on top, whatever it is made of. */
export interface Channel {
  /** One 64 B message there and back. */
  ping(): Promise<void>
  /** Messages of 64 B each, all at once, echoed. Gives messages per second. */
  each(count: number): Promise<number>
  /** Messages of 256 frames of 64 B. Gives frames per second. */
  batched(messages: number): Promise<number>
  /** Sends `bytes` in messages of 64 KiB. Gives MB/s. */
  bulk(bytes: number): Promise<number>
  /** The same the other way: the far end sends. */
  pull(bytes: number): Promise<number>
  close(): void
}

/** This process's end of the bare channel. */
export interface Bare extends Channel {
  readonly offer: string
  /** As `ping`, with a worker of the other process on the way. */
  hop(): Promise<void>
  accept(answer: string): Promise<void>
}

export async function offerBare(connection: RTCPeerConnection): Promise<Bare> {
  const channel = connection.createDataChannel('bare')
  channel.binaryType = 'arraybuffer'
  let onMessage: Answer = () => {}
  channel.addEventListener('message', ({ data }) => onMessage(data))
  const opened = new Promise<void>((resolve) => channel.addEventListener('open', () => resolve()))
  await connection.setLocalDescription(await connection.createOffer())
  const echoed = (message: Uint8Array<ArrayBuffer>, count: number): Promise<void> =>
    new Promise((resolve) => {
      let left = count
      onMessage = () => {
        if (--left === 0) resolve()
      }
      for (let i = 0; i < count; i++) channel.send(message)
    })
  return {
    offer: await described(connection),
    async accept(answer) {
      await connect(connection, answer)
      await opened
    },
    ping: () => echoed(new Uint8Array(frameBytes), 1),
    hop: () => echoed(new Uint8Array(frameBytes).fill(hopMark, 0, 1), 1),
    each: async (count) => count / (await secondsOf(() => echoed(new Uint8Array(frameBytes), count))),
    async batched(messages) {
      const seconds = await secondsOf(() => echoed(new Uint8Array(frameBytes * batchFrames), messages))
      return (messages * batchFrames) / seconds
    },
    async bulk(bytes) {
      const seconds = await secondsOf(async () => {
        const acknowledged = new Promise<void>((resolve) => {
          onMessage = () => resolve()
        })
        channel.send(String(bytes))
        await pour(channel, bytes)
        await acknowledged
      })
      return bytes / 1e6 / seconds
    },
    async pull(bytes) {
      const seconds = await secondsOf(
        () =>
          new Promise<void>((resolve) => {
            let left = bytes
            onMessage = (data) => {
              left -= (data as ArrayBuffer).byteLength
              if (left <= 0) resolve()
            }
            channel.send(`send ${bytes}`)
          }),
      )
      return bytes / 1e6 / seconds
    },
    close: () => connection.close(),
  }
}

async function pour(channel: RTCDataChannel, bytes: number): Promise<void> {
  const message = new Uint8Array(64 * 1024).fill(1)
  channel.bufferedAmountLowThreshold = 2 ** 20
  for (let sent = 0; sent < bytes; sent += message.length) {
    if (channel.bufferedAmount >= 4 * 2 ** 20) {
      await new Promise<void>((resolve) =>
        channel.addEventListener('bufferedamountlow', () => resolve(), { once: true }),
      )
    }
    channel.send(message)
  }
}

export async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return (performance.now() - startedAt) / 1000
}
