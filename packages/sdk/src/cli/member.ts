import { parseInvite } from '@shoal/mesh'
import { ShoalError } from '@shoal/scheduler'
import { joinMesh } from '../node.ts'
import type { Mesh, MeshOptions, PeerInfo } from '../types.ts'
import type { Arguments, Flag } from './command.ts'
import type { GpuWish } from './gpu.ts'
import type { Terminal } from './terminal.ts'

/** Joining takes a second; a command that ends by itself does not wait longer than this for a server that is away. */
const joinTimeoutMs = 15_000

/** Flags of every command that takes part in a room. */
export const memberFlags: Readonly<Record<string, Flag>> = {
  name: { type: 'string', help: 'name that the others see' },
  workers: { type: 'string', help: 'workers to lend (default: processors - 1; 0 lends nothing)' },
  listen: {
    type: 'string',
    help: "address for fast lines from other Node peers, or none (default: that in the room's network, if private)",
  },
}

/** The mesh options that those flags say. */
export function meshOptions(args: Arguments, gpu: GpuWish = 'auto'): MeshOptions {
  const name = args.text('name')
  const workers = args.integer('workers', 0, 256)
  const listen = args.text('listen')
  return {
    ...(name === undefined ? {} : { name }),
    ...(workers === undefined ? {} : { workers }),
    ...(listen === undefined ? {} : { listen }),
    gpu: gpu === 'auto' ? gpu : gpu !== 'none',
  }
}

/**
 * Joins for a command that ends by itself.
 * @throws ShoalError `E_INVITE` no invite; `E_OFFLINE` the room's signalling server does not answer
 */
export async function joinSoon(invite: string, options: MeshOptions, terminal: Terminal): Promise<Mesh> {
  const { url } = parseInvite(invite)
  const late = AbortSignal.timeout(joinTimeoutMs)
  const offline = (cause: unknown): ShoalError =>
    new ShoalError(
      'E_OFFLINE',
      `Cannot join the room as its signalling server must answer: current value is ${url}`,
      {
        cause,
      },
    )
  // A server that is not there is known at once; the way to peers then takes as long as it takes.
  await fetch(url, { method: 'HEAD', signal: AbortSignal.any([terminal.stop, late]) }).catch(
    (error: unknown) => {
      throw terminal.stop.aborted ? error : offline(error)
    },
  )
  try {
    return await joinMesh(invite, { ...options, signal: AbortSignal.any([terminal.stop, late]) })
  } catch (error) {
    throw late.aborted ? offline(error) : error
  }
}

/** A peer for people: its name arrives a moment after the peer itself. */
export function labelOf(peer: PeerInfo): string {
  return peer.name === '' ? peer.id.slice(0, 8) : peer.name
}
