import { browserPlatform } from './browser-platform.ts'
import { openRoomMesh } from './join-mesh.ts'
import { openLocalMesh } from './local-mesh.ts'
import type { Mesh, MeshOptions } from './types.ts'

export * from './public.ts'

/**
 * Opens a mesh of one peer: its own workers, no network. The same program runs unchanged on a room.
 *
 * @example
 * const mesh = await localMesh()
 * console.log(await mesh.spawn((x: number) => x + 1, 41))
 * await mesh.close()
 *
 * @throws ShoalError `E_OPTION` bad options; the signal's reason when it aborts first
 */
export function localMesh(options: MeshOptions = {}): Promise<Mesh> {
  return openLocalMesh(browserPlatform, options)
}

/**
 * Joins the room of an invite. Resolves once this peer is in the room's signalling; other peers appear
 * in `peers` as they are met.
 * @param invite the whole link, as `shoal up` or the demo page shows it
 * @throws ShoalError `E_INVITE` bad link; `E_OPTION` bad options; the signal's reason when it aborts first
 */
export function joinMesh(invite: string, options: MeshOptions = {}): Promise<Mesh> {
  // No lazy import: awaited at the top level of a bundled page it would wait for its own importer.
  return openRoomMesh(browserPlatform, invite, options)
}
