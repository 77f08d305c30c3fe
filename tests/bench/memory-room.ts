import { createInvite, formatInvite } from '@shoal/mesh'
import { createMemoryNetwork } from '@shoal/mesh/testing'
import type { Clock, Transport } from '@shoal/scheduler'
import type { Mesh } from '@shoal/sdk'
import * as Y from 'yjs'
import { openRoomMesh } from '../../packages/sdk/src/join-mesh.ts'
import { nodePlatform } from '../../packages/sdk/src/node-platform.ts'

/** What one peer of a memory room did, counted below everything that Shoal decides. */
export interface Counts {
  /** Frames on control links, by what they carry. */
  messageFrames: number
  messageBytes: number
  replicaFrames: number
  replicaBytes: number
  timersArmed: number
}

export interface MemoryRoom {
  join(role: 'member' | 'contributor', workers: number): Promise<{ mesh: Mesh; counts: Counts }>
}

/** Transactions of all documents of this process, top level or not. */
export function countTransactions(): () => number {
  let count = 0
  const { transact } = Y.Doc.prototype
  Y.Doc.prototype.transact = function counted(this: Y.Doc, ...args: Parameters<typeof transact>) {
    count++
    return transact.apply(this, args)
  } as typeof transact
  return () => count
}

/** The second byte of a frame says what it is. */
const messagesFrame = 16
const replicaFrame = 17
/** A piece of what is larger than a frame: of a document, as long as values are small. */
const chunkFrame = 34

/** Peers in this process, each with workers of its own, over a network in memory. */
export async function memoryRoom(): Promise<MemoryRoom> {
  const invites = await createInvite({ url: 'http://127.0.0.1' })
  const network = createMemoryNetwork()
  return {
    async join(role, workers) {
      const counts = { messageFrames: 0, messageBytes: 0, replicaFrames: 0, replicaBytes: 0, timersArmed: 0 }
      const platform = {
        ...nodePlatform,
        clock: countedClock(nodePlatform.clock, counts),
        createTransport: () => Promise.resolve(countedTransport(network.join(), counts)),
      }
      const mesh = await openRoomMesh(platform, formatInvite(invites[role]), { workers, storage: 'memory' })
      return { mesh, counts }
    },
  }
}

function countedClock(clock: Clock, counts: Counts): Clock {
  return {
    now: () => clock.now(),
    defer: (callback) => clock.defer(callback),
    setTimer(atMs, callback) {
      counts.timersArmed++
      return clock.setTimer(atMs, callback)
    },
  }
}

type Link = Awaited<ReturnType<Transport['dial']>>

function countedTransport(transport: Transport, counts: Counts): Transport {
  const counted = (link: Link): Link =>
    new Proxy(link, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target)
        if (key !== 'send') return typeof value === 'function' ? value.bind(target) : value
        return (frame: Uint8Array) => {
          if (frame[1] === messagesFrame) {
            counts.messageFrames++
            counts.messageBytes += frame.length
          } else if (frame[1] === replicaFrame || frame[1] === chunkFrame) {
            counts.replicaFrames++
            counts.replicaBytes += frame.length
          }
          return target.send(frame)
        }
      },
    })
  return new Proxy(transport, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target)
      if (key === 'dial') {
        return async (...args: Parameters<Transport['dial']>) => counted(await target.dial(...args))
      }
      if (key === 'onLink') {
        return (listener: (link: Link) => void) => target.onLink((link) => listener(counted(link)))
      }
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
