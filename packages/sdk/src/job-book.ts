import {
  type ChunkPayload,
  type JobId,
  nestedBase,
  type Outcome,
  type Payload,
  type RangeValues,
  type TaskStatus,
  taskIdOf,
} from '@shoal/scheduler'
import type { TaskHandle } from './task.ts'
import type { Chunk } from './types.ts'

/** What the books of jobs need from the mesh they belong to. */
export interface BookKeeper {
  /** Tells meshes apart whose tasks cannot meet: the room's name, or a local mesh's own. */
  readonly space: string
  statusOf(job: JobId, no: number): TaskStatus
  cancel(job: JobId, nos: readonly number[] | null, reason: string): void
  /** Resolves when what is known here of the job outlives this peer. */
  durable(job: JobId): Promise<void>
  story(key: string): readonly string[]
  /** A peer's name for people, and its id when it has none. */
  peerLabel(peer: string): string
  /** A task's name for people; `null` when this peer does not know the task. */
  taskName(job: JobId, no: number): string | null
  /** The value that a payload carries, with handles of this mesh in it; the promise of one that is a chunk. */
  read(payload: Payload): unknown
  /** A handle to the value as a chunk. */
  openChunk(payload: ChunkPayload): Chunk<unknown>
  putChunk(payload: Payload): Promise<Chunk<unknown>>
}

/** Somebody who follows a whole job. */
export interface JobFollower {
  taskEnded(no: number, outcome: Outcome): void
  /** `count` tasks from `no` on; done, they carry `RangeValues`. */
  sliceEnded(no: number, count: number, outcome: Outcome): void
  jobClosed(): void
  readonly isFinished: boolean
}

/** Who waits for what in one job. Holds its tasks strongly until they end, and no longer. */
export class JobBook {
  readonly keeper: BookKeeper
  readonly id: JobId
  readonly name: string
  /** By number; tasks that bodies spawned have numbers far above, and a map of their own. */
  readonly #handles: (TaskHandle<unknown> | undefined)[] = []
  readonly #nested = new Map<number, TaskHandle<unknown>>()
  readonly #isOwn: boolean
  #waiting = 0
  readonly #followers: JobFollower[] = []

  /** @param isOwn the job was opened by this mesh */
  constructor(keeper: BookKeeper, id: JobId, name: string, isOwn: boolean) {
    this.keeper = keeper
    this.id = id
    this.name = name
    this.#isOwn = isOwn
  }

  /** `true` when nobody waits for anything any more. */
  get isIdle(): boolean {
    if (this.#waiting > 0) return false
    for (const follower of this.#followers) if (!follower.isFinished) return false
    return true
  }

  handle(no: number): TaskHandle<unknown> | undefined {
    return no < nestedBase ? this.#handles[no] : this.#nested.get(no)
  }

  add(handle: TaskHandle<unknown>): void {
    this.#waiting++
    if (handle.no < nestedBase) this.#handles[handle.no] = handle
    else this.#nested.set(handle.no, handle)
  }

  follow(follower: JobFollower): void {
    this.#followers.push(follower)
  }

  settle(no: number, outcome: Outcome): void {
    const handle = this.handle(no)
    if (handle !== undefined) {
      this.#waiting--
      if (no < nestedBase) this.#handles[no] = undefined
      else this.#nested.delete(no)
      handle.settle(outcome)
    }
    if (no < nestedBase) for (const follower of this.#followers) follower.taskEnded(no, outcome)
  }

  /** The same for `count` tasks from `no` on; done, they carry `RangeValues`. */
  settleSlice(no: number, count: number, outcome: Outcome): void {
    if (this.#waiting > 0) {
      for (let index = 0; index < count; index++) {
        const handle = this.#handles[no + index]
        if (handle === undefined) continue
        this.#waiting--
        this.#handles[no + index] = undefined
        handle.settle(partOf(outcome, index))
      }
    }
    for (const follower of this.#followers) follower.sliceEnded(no, count, outcome)
  }

  /** Ends everything that still waits: the mesh is closed. */
  close(outcome: Outcome): void {
    const handles = [...this.#nested.values()]
    // Skips the holes, which may be many.
    this.#handles.forEach((handle) => {
      if (handle !== undefined) handles.push(handle)
    })
    this.#handles.length = 0
    this.#nested.clear()
    this.#waiting = 0
    for (const handle of handles) handle.settle(outcome)
    for (const follower of this.#followers) follower.jobClosed()
  }

  statusOf(no: number): TaskStatus {
    const status = this.keeper.statusOf(this.id, no)
    // Not there yet: what was spawned in this turn reaches the scheduler at its end.
    return status === 'unknown' && this.#isOwn ? 'waiting' : status
  }

  cancel(no: number, reason: string): void {
    this.keeper.cancel(this.id, [no], reason)
  }

  story(no: number): readonly string[] {
    return this.keeper.story(taskIdOf({ job: this.id, no }))
  }
}

/** How one task of a slice ended. */
export function partOf(outcome: Outcome, index: number): Outcome {
  if (outcome.status !== 'done') return outcome
  return { ...outcome, value: (outcome.value as RangeValues).at(index) }
}
