import {
  type JobInfo,
  joinMesh,
  localMesh,
  type Mesh,
  operation,
  type TaskGroup,
  withContext,
} from '@shoal/sdk'
import { renderTile, type Tile, type TileSpec } from './fractal.ts'

export type {
  Completed,
  JobInfo,
  Mesh,
  MeshHealth,
  PeerInfo,
  TaskGroup,
} from '@shoal/sdk'
export { ShoalError } from '@shoal/sdk'

const drawTile = operation('draw a tile', withContext(renderTile))

/**
 * Opens the mesh of this page. It lends nothing: workers start when somebody presses Contribute.
 * @param invite the whole link; `null` = a mesh of this device alone
 */
export function openMesh(invite: string | null, name: string, signal: AbortSignal): Promise<Mesh> {
  const options = { name, workers: 0, signal }
  return invite === null ? localMesh(options) : joinMesh(invite, options)
}

/** Submits a picture: one task per tile, one job. */
export function submitPicture(mesh: Mesh, no: number, tiles: readonly TileSpec[]): TaskGroup<Tile> {
  return mesh.with({ name: pictureName(no), retry: { max: 1 } }).map(drawTile, tiles)
}

/** The tiles of a picture that any page started: those drawn already, then each new one. */
export function followPicture(mesh: Mesh, job: string): TaskGroup<Tile> {
  return mesh.group<Tile>(job)
}

/** The name of a picture's job. The highest number is the one on the wall. */
export function pictureName(no: number): string {
  return `Picture ${no}`
}

/** The number in {@link pictureName}, or 0 when the job is not a picture. */
export function pictureNo(job: JobInfo): number {
  return Number(/^Picture (\d{1,9})$/.exec(job.name)?.[1] ?? 0)
}
