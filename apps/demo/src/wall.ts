import { isFromGpu, type Tile, type TileOutputs, tileOf, tilesOf, type View, wholeView } from './fractal.ts'
import {
  followPicture,
  type JobInfo,
  type Mesh,
  pictureNo,
  submitPicture,
  type TaskGroup,
} from './mesh-session.ts'

/** The picture on the wall, as this page sees it. */
export interface PictureState {
  readonly no: number
  readonly job: string
  readonly owner: string
  readonly epoch: number
  readonly isMine: boolean
  readonly total: number
  readonly drawn: number
  /** Drawn by GPUs. */
  readonly byGpu: number
  readonly failed: number
  readonly state: 'running' | 'complete' | 'stopped'
}

/** The shared wall: shows the newest picture of the room, whoever started it. */
export interface Wall {
  readonly picture: PictureState | null
  /** What the picture shows, or what the next one will. */
  readonly view: View
  tiles(): Iterable<Tile>
  /** Starts a new picture for everybody; the one before it is given up. */
  start(view: View): void
  /** Gives up the picture that runs. */
  stop(): void
  close(): void
}

export interface WallEvents {
  /** The wall was wiped: another picture begins. */
  onWiped(): void
  /** A tile is there. `isLive` false: it was drawn before this page looked. */
  onTile(tile: Tile, isLive: boolean): void
  onChange(): void
  onProblem(error: unknown): void
}

interface Current {
  readonly group: TaskGroup<TileOutputs>
  readonly no: number
  job: JobInfo | null
  byGpu: number
  failed: number
}

export function createWall(mesh: Mesh, events: WallEvents): Wall {
  let current: Current | null = null
  let view = wholeView
  const tiles = new Map<number, Tile>()

  const follow = (job: JobInfo | null, no: number, group: TaskGroup<TileOutputs>): void => {
    current = { group, no, job, byGpu: 0, failed: 0 }
    tiles.clear()
    events.onWiped()
    events.onChange()
    void collect(group, job?.done ?? 0)
  }

  const collect = async (group: TaskGroup<TileOutputs>, alreadyDone: number): Promise<void> => {
    let seen = 0
    try {
      for await (const record of group) {
        if (current?.group !== group) return
        seen += 1
        if (record.status === 'done') {
          const tile = tileOf(record.value, record.processor ?? '')
          tiles.set(record.index, tile)
          if (isFromGpu(tile)) current.byGpu += 1
          view = tile.spec.view
          events.onTile(tile, seen > alreadyDone)
        } else if (record.status === 'failed') {
          current.failed += 1
          if (current.failed === 1) events.onProblem(record.error)
        }
        events.onChange()
      }
    } catch (error) {
      if (current?.group === group) events.onProblem(error)
    }
    events.onChange()
  }

  const refresh = (): void => {
    const newest = newestPicture(mesh.jobs())
    if (newest !== null && newest.id === current?.group.jobId) current.job = newest
    else if (newest !== null && isNewer(newest, current)) {
      follow(newest, pictureNo(newest), followPicture(mesh, newest.id))
    }
    events.onChange()
  }

  const unsubscribes = (['job-opened', 'job-changed', 'job-ended', 'owner-changed'] as const).map((name) =>
    mesh.on(name, refresh),
  )
  if (mesh.role === 'member') refresh()

  return {
    get picture() {
      return current === null ? null : pictureOf(current, tiles.size)
    },
    get view() {
      return view
    },
    tiles: () => tiles.values(),
    start(next) {
      view = next
      const no = Math.max(current?.no ?? 0, ...mesh.jobs().map(pictureNo)) + 1
      if (current !== null && current.job?.isEnded !== true)
        current.group.cancel('another picture was started')
      try {
        follow(null, no, submitPicture(mesh, no, tilesOf(next)))
      } catch (error) {
        events.onProblem(error)
      }
    },
    stop() {
      current?.group.cancel('stopped by hand')
    },
    close() {
      for (const unsubscribe of unsubscribes) unsubscribe()
      current = null
    },
  }
}

function newestPicture(jobs: readonly JobInfo[]): JobInfo | null {
  let newest: JobInfo | null = null
  for (const job of jobs) {
    const no = pictureNo(job)
    if (no === 0) continue
    // Two pages may start the same number at once: the ids decide, on every page alike.
    const held = newest === null ? 0 : pictureNo(newest)
    if (newest === null || no > held || (no === held && job.id > newest.id)) newest = job
  }
  return newest
}

function isNewer(
  job: JobInfo,
  current: { readonly no: number; readonly group: TaskGroup<TileOutputs> } | null,
): boolean {
  if (current === null) return true
  const no = pictureNo(job)
  return no === current.no ? job.id > current.group.jobId : no > current.no
}

function pictureOf({ no, job, group, byGpu, failed }: Current, drawn: number): PictureState {
  const total = Math.max(group.progress.total, job?.total ?? 0, drawn)
  const isComplete = total > 0 && drawn === total
  return {
    no,
    job: group.jobId,
    owner: job?.owner ?? '',
    epoch: job?.epoch ?? 1,
    isMine: job?.isMine ?? true,
    total,
    drawn,
    byGpu,
    failed,
    state: isComplete ? 'complete' : job?.isEnded === true ? 'stopped' : 'running',
  }
}
