import { ShoalError, type Unsubscribe } from '@shoal/scheduler'
import { createListeners } from '../transport/listeners.ts'
import type { DocumentName } from './document.ts'
import type { DurableStorage, StoredDocument } from './storage.ts'

/** What has to be done about one document. `replace`: what is stored of it goes first. */
export interface DocumentChange {
  readonly how: 'append' | 'replace' | 'drop'
  readonly updates: readonly Uint8Array[]
}

export type DocumentChanges = ReadonlyMap<DocumentName, DocumentChange>

/** Where a queue writes to. */
export interface StorageBackend {
  /** Writes all changes, as far as it can; gives what failed, with its reason. Never rejects. */
  write(changes: DocumentChanges): Promise<ReadonlyMap<DocumentName, unknown>>
  close(): Promise<void>
}

export interface QueueOptions {
  readonly backend: StorageBackend
  readonly loaded: readonly StoredDocument[]
  /** Pause in which changes gather before they are written, in milliseconds. */
  readonly batchMs: number
  /** Whether what is written makes work durable by itself; see {@link DurableStorage.onDisk}. */
  readonly isDisk: boolean
}

/**
 * Gathers changes by document and writes them, one pass at a time. A document that cannot be written is
 * left alone until the replica offers it whole: half of it would be worth nothing.
 */
export function createStorageQueue(options: QueueOptions): DurableStorage {
  const queue = new StorageQueue(options)
  if (!options.isDisk) return queue
  return Object.assign(queue, { onDisk: () => queue.saved() })
}

interface Pending {
  how: DocumentChange['how']
  updates: Uint8Array[]
}

class StorageQueue implements DurableStorage {
  fault: ShoalError | null = null
  readonly #options: QueueOptions
  readonly #listeners = createListeners<[]>(console.error)
  readonly #unsaved = new Set<DocumentName>()
  #pending = new Map<DocumentName, Pending>()
  #timer: ReturnType<typeof setTimeout> | null = null
  #writing: Promise<void> | null = null
  #closed: Promise<void> | null = null

  constructor(options: QueueOptions) {
    this.#options = options
  }

  load(): readonly StoredDocument[] {
    return this.#options.loaded
  }

  append(name: DocumentName, update: Uint8Array): void {
    if (this.#closed !== null) return
    const pending = this.#pending.get(name)
    if (pending === undefined) {
      // Without what failed before, this would leave a hole.
      if (this.#unsaved.has(name)) return
      this.#change(name, { how: 'append', updates: [update] })
    } else if (pending.how === 'drop') this.#change(name, { how: 'replace', updates: [update] })
    else pending.updates.push(update)
  }

  compact(name: DocumentName, snapshot: Uint8Array): void {
    this.#change(name, { how: 'replace', updates: [snapshot] })
  }

  drop(name: DocumentName): void {
    this.#unsaved.delete(name)
    this.#change(name, { how: 'drop', updates: [] })
  }

  unsaved(): readonly DocumentName[] {
    return [...this.#unsaved]
  }

  onFault(listener: () => void): Unsubscribe {
    return this.#listeners.add(listener)
  }

  async flush(): Promise<void> {
    this.#stopTimer()
    // What is being written now was taken before; what waits goes with the next pass.
    while (this.#pending.size > 0 || this.#writing !== null) {
      if (this.#writing === null) this.#write()
      await this.#writing
      if (this.#hasOnlyFailedDrops()) return
    }
  }

  async saved(): Promise<void> {
    await this.flush()
    if (this.#unsaved.size > 0) throw this.fault ?? new ShoalError('E_STORAGE', 'Cannot keep the documents')
  }

  close(): Promise<void> {
    this.#closed ??= this.flush().then(() => this.#options.backend.close())
    return this.#closed
  }

  #change(name: DocumentName, change: Pending): void {
    if (this.#closed !== null) return
    this.#pending.set(name, change)
    if (this.#timer !== null || this.#writing !== null) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#write()
    }, this.#options.batchMs)
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  /** Starts a pass in this very turn: a page that is going away has no other. */
  #write(): void {
    if (this.#writing !== null || this.#pending.size === 0) return
    this.#stopTimer()
    const changes = this.#pending
    this.#pending = new Map()
    this.#writing = this.#options.backend.write(changes).then((failed) => {
      this.#writing = null
      this.#settle(changes, failed)
      const hasMore = this.#pending.size > 0 && !this.#hasOnlyFailedDrops()
      if (hasMore && this.#timer === null) {
        this.#timer = setTimeout(() => {
          this.#timer = null
          this.#write()
        }, this.#options.batchMs)
      }
    })
  }

  #settle(changes: ReadonlyMap<DocumentName, Pending>, failed: ReadonlyMap<DocumentName, unknown>): void {
    let fault = this.fault
    for (const [name, { how, updates }] of changes) {
      const next = this.#pending.get(name)
      if (!failed.has(name)) {
        if (how === 'replace') this.#unsaved.delete(name)
        continue
      }
      fault = storageFault(failed.get(name))
      if (how === 'drop') {
        // Tried again with the next pass: a later start must not find it.
        if (next === undefined) this.#pending.set(name, { how, updates })
      } else if (next?.how === 'append') {
        this.#pending.delete(name)
        this.#unsaved.add(name)
      } else if (next === undefined) this.#unsaved.add(name)
    }
    if (this.#unsaved.size === 0 && failed.size === 0) fault = null
    if (fault === this.fault) return
    this.fault = fault
    this.#listeners.emit()
  }

  #hasOnlyFailedDrops(): boolean {
    if (this.fault === null || this.#writing !== null) return false
    for (const { how } of this.#pending.values()) if (how !== 'drop') return false
    return true
  }
}

const deniedNames = new Set([
  'EACCES',
  'EPERM',
  'EROFS',
  'SecurityError',
  'NotAllowedError',
  'InvalidStateError',
])
const fullNames = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'QuotaExceededError'])

/** The error of a disk or a browser's database, with a code of ours. */
export function storageFault(cause: unknown): ShoalError {
  if (cause instanceof ShoalError) return cause
  const { name, code, message } = (cause ?? {}) as { name?: string; code?: unknown; message?: string }
  const kind = typeof code === 'string' ? code : (name ?? '')
  const text = `${kind}: ${message ?? String(cause)}`
  if (fullNames.has(kind))
    return new ShoalError('E_QUOTA', `Cannot keep the room's state as there must be space for it: ${text}`, {
      cause,
    })
  if (deniedNames.has(kind))
    return new ShoalError(
      'E_STORAGE_DENIED',
      `Cannot keep the room's state as this peer must be allowed to: ${text}`,
      {
        cause,
      },
    )
  return new ShoalError('E_STORAGE', `Cannot keep the room's state: ${text}`, { cause })
}
