import type { Clock, RangeItems, Runtime, TaskSpec } from '@shoal/scheduler'
import type { ChunkBook } from './chunk-book.ts'
import type { JobBook } from './job-book.ts'
import { atTurnEnd } from './microtask.ts'
import { createPending, type PlainTask } from './pending-tasks.ts'

/** A job takes this many single tasks before the next one opens: bounds what one document holds. */
const sessionTasksMax = 10_000
/** A session without work is sealed after this, so that its job ends and its document can go. */
const idleSealMs = 1_000

/** The job of the tasks that were spawned one by one. */
export interface Session {
  /** The book of the next task. */
  open(): JobBook
  /** The number of the next task in that book. */
  number(): number
  /** Hands the task of that number over; it leaves at the end of the turn. */
  submit(spec: TaskSpec): void
  /** The same for a task that needs no record of its own: those in a row with one operation are one range. */
  submitPlain(task: PlainTask): void
  /** Everything that was spawned up to now leaves before what is submitted next. */
  flush(): void
  /** `true` while tasks may still be added to the book's job. */
  isOpen(book: JobBook): boolean
  /** All tasks of the open book have ended. */
  becameIdle(): void
  /** Seals the open job: nothing more will be spawned. */
  close(): void
}

export interface SessionParts {
  readonly runtime: Runtime
  readonly chunks: ChunkBook
  readonly clock: Clock
  /** The items of a range of plain tasks. */
  readonly itemsOf: (rows: readonly unknown[], isSingle: boolean) => RangeItems
  openBook(name: string): JobBook
  closeBook(book: JobBook): void
}

/** Numbers, batches and rolls the single tasks of one mesh. */
export function createSession({
  runtime,
  chunks,
  clock,
  itemsOf,
  openBook,
  closeBook,
}: SessionParts): Session {
  let book: JobBook | null = null
  let count = 0
  const pending = createPending(
    {
      submit: (id, name, specs) => chunks.submit(id, name, specs),
      submitRange: (id, name, range) => chunks.after(id, () => runtime.submitRange(id, name, range)),
    },
    itemsOf,
  )
  let isArmed = false
  let stopTimer: (() => void) | null = null

  function flush(): void {
    isArmed = false
    if (book !== null) pending.flush(book)
  }

  function arm(): void {
    if (isArmed) return
    isArmed = true
    atTurnEnd(flush)
  }

  function seal(): void {
    flush()
    stopTimer?.()
    stopTimer = null
    if (book === null) return
    const sealed = book
    book = null
    // A job that never got a task was never opened.
    if (count > 0) chunks.after(sealed.id, () => runtime.seal(sealed.id))
    closeBook(sealed)
  }

  function armIdle(): void {
    const seen = count
    const job = book
    stopTimer = clock.setTimer(clock.now() + idleSealMs, () => {
      stopTimer = null
      if (book === null || book !== job || !book.isIdle || !pending.isEmpty) return
      if (count === seen) seal()
      else armIdle()
    })
  }

  return {
    open() {
      if (book !== null && count >= sessionTasksMax) seal()
      if (book === null) {
        book = openBook('tasks')
        count = 0
      }
      return book
    },
    number: () => count++,
    submit(spec) {
      pending.add(spec)
      arm()
    },
    submitPlain(task) {
      pending.addPlain(task)
      arm()
    },
    flush,
    isOpen: (of) => of === book,
    becameIdle() {
      if (stopTimer === null) armIdle()
    },
    close: seal,
  }
}
