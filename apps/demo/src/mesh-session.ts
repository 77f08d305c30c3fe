import {
  type JobInfo,
  joinMesh,
  kernel,
  localMesh,
  type Mesh,
  operation,
  scope,
  type TaskGroup,
  withContext,
} from '@shoal/sdk'
import { argumentsOf, drawShades, type TileArguments, type TileOutputs, type TileSpec } from './fractal.ts'
import { gpuSpanMin, outputs, wgsl } from './tile-kernel.ts'

export type {
  Completed,
  JobInfo,
  Mesh,
  MeshHealth,
  PeerInfo,
  Service,
  TaskGroup,
} from '@shoal/sdk'
export { ShoalError } from '@shoal/sdk'

const drawTile = kernel<TileArguments, TileOutputs>({
  name: 'draw a tile',
  wgsl,
  outputs,
  fallback: drawShades,
})

/**
 * Opens the mesh of this page. It lends nothing: workers start when somebody presses Contribute.
 * @param invite the whole link; `null` = a mesh of this device alone
 */
export function openMesh(invite: string | null, name: string, signal: AbortSignal): Promise<Mesh> {
  const options = { name, workers: 0, signal }
  return invite === null ? localMesh(options) : joinMesh(invite, options)
}

/** Submits a picture: one task per tile, one job. */
export function submitPicture(mesh: Mesh, no: number, tiles: readonly TileSpec[]): TaskGroup<TileOutputs> {
  const isDeep = tiles.some(({ view }) => view.span < gpuSpanMin)
  const where = isDeep ? { scope: scope.kind('worker') } : {}
  return mesh
    .with({ name: pictureName(no), retry: { max: 1 }, ...where })
    .map(drawTile, tiles.map(argumentsOf))
}

/** The tiles of a picture that any page started: those drawn already, then each new one. */
export function followPicture(mesh: Mesh, job: string): TaskGroup<TileOutputs> {
  return mesh.group<TileOutputs>(job)
}

/** The name of a picture's job. The highest number is the one on the wall. */
export function pictureName(no: number): string {
  return `Picture ${no}`
}

/** The number in {@link pictureName}, or 0 when the job is not a picture. */
export function pictureNo(job: JobInfo): number {
  return Number(/^Picture (\d{1,9})$/.exec(job.name)?.[1] ?? 0)
}

/** What a page listens to that may be ended from another one. */
const endChannel = 'shoal-end-peer'

/**
 * Ends a peer that lends a worker, as a power cut would: the process of a Node peer dies, a page leaves. For showing
 * that nothing is lost; every member of a room may run code on all who lend, so that this is no new power.
 */
const endOfPeer = operation(
  'end a peer',
  withContext((context, channelName: string) => {
    const { process } = globalThis as {
      process?: { readonly pid: number; kill(pid: number, signal: string): void }
    }
    if (process !== undefined) process.kill(process.pid, 'SIGKILL')
    const channel = new BroadcastChannel(channelName)
    channel.postMessage(context.processor.split('/', 1)[0])
    channel.close()
  }),
)

export function endPeer(mesh: Mesh, peer: string): void {
  // It may end before it says that it did.
  void mesh.with({ peer }).spawn(endOfPeer, endChannel).wait()
}

/** Calls back when somebody ends this page's peer. The result ends the listening. */
export function listenForEnd(self: string, onEnd: () => void): () => void {
  const channel = new BroadcastChannel(endChannel)
  channel.onmessage = ({ data }) => {
    if (data === self) onEnd()
  }
  return () => channel.close()
}
