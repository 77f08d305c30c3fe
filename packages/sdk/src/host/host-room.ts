import { networkInterfaces } from 'node:os'
import { createInvite, formatInvite } from '@shoal/mesh'
import { startSignalling } from '@shoal/mesh/node'
import { findPage, servePage } from './page.ts'
import { keepRoomKey } from './room-key.ts'
import type { HostRoomOptions, RoomHost } from './types.ts'

/**
 * Opens a room on this machine: signalling and the demo page on one port, and the invites. It takes no part in the
 * room's work; `joinMesh(host.memberInvite)` does.
 *
 * @example
 * const host = await hostRoom({ host: '0.0.0.0', port: 7420 })
 * console.log(host.contributorInvite)
 *
 * @throws ShoalError `E_LISTEN` the port is taken or the address is not of this machine; `E_INVITE` `room` is no name;
 *   `E_STORAGE` `dataDir` cannot be used
 */
export async function hostRoom(options: HostRoomOptions = {}): Promise<RoomHost> {
  const { host = '127.0.0.1', port = 0, page = true, dataDir } = options
  const kept = dataDir === undefined ? {} : await keepRoomKey(dataDir)
  const identity = { ...kept, ...(options.room === undefined ? {} : { room: options.room }) }
  // Checked before anything listens.
  const { room, key: secret } = (await createInvite({ url: 'http://127.0.0.1', ...identity })).member
  const folder = page ? findPage() : null
  const signalling = await startSignalling({
    host,
    port,
    serve: (request, response) => page && servePage(folder, request, response),
  })
  const at = (address: string): string =>
    `http://${address.includes(':') ? `[${address}]` : address}:${signalling.port}`
  const url = at(reachableAddress(host))
  const { member, contributor } = await createInvite({ url, room, secret })
  return {
    memberInvite: formatInvite(member),
    contributorInvite: formatInvite(contributor),
    url,
    localUrl: isWildcard(host) ? at('127.0.0.1') : url,
    port: signalling.port,
    invite: (role, otherUrl) =>
      formatInvite({ ...(role === 'member' ? member : contributor), url: otherUrl }),
    close: () => signalling.close(),
    [Symbol.asyncDispose]: () => signalling.close(),
  }
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

/** What others write into their browsers: an address of this machine, not the wildcard that it listens on. */
function reachableAddress(host: string): string {
  if (!isWildcard(host)) return host
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const outside = addresses.find((address) => address.family === 'IPv4' && !address.internal)
  return outside?.address ?? '127.0.0.1'
}
