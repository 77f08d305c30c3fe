import { type JobInfo, joinMesh, kernel, localMesh, type Mesh, scope, type TaskGroup } from '@shoal/sdk'
import { argumentsOf, drawShades, type TileArguments, type TileOutputs, type TileSpec } from './fractal.ts'
import { gpuSpanMin, outputs, wgsl } from './tile-kernel.ts'

export type {
  Completed,
  JobInfo,
  Mesh,
  MeshHealth,
  PeerInfo,
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
