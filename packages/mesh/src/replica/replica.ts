import {
  type Clock,
  type JobId,
  type OperationStore,
  type PeerId,
  type Replica,
  type ReplicaNetwork,
  type ReplicatedRecord,
  type Rng,
  ShoalError,
  type Unsubscribe,
} from '@shoal/scheduler'
import * as Y from 'yjs'
import type { Refusal } from '../room.types.ts'
import { type DocumentName, jobName, laneName, type ReplicatedDocument } from './document.ts'
import { createDocuments, type Documents } from './documents.ts'
import { createDurability, type Durability } from './durability.ts'
import { EarlyError, EquivocationError } from './filter.ts'
import { createInboxes, type Inboxes } from './inboxes.ts'
import { createKeeper, type Keeper } from './keeper.ts'
import { type ReplicaLimits, replicaLimits } from './limits.ts'
import { decodeReplicaMessage, encodeReplicaMessage } from './protocol.ts'
import { readArrivals } from './reader.ts'
import { retiredLanes } from './retire.ts'
import type { ReplicaSigning } from './seals.ts'
import type { ReplicaStorage } from './storage.ts'
import { createSync, type Sync } from './sync.ts'
import { createWriter, type Writer } from './writer.ts'

export interface ReplicaOptions {
  readonly self: PeerId
  readonly network: ReplicaNetwork
  readonly clock: Clock
  readonly rng: Rng
  readonly operations: OperationStore
  /** Where documents outlive this replica; default: nowhere. */
  readonly storage?: ReplicaStorage
  /** Signs what is written here, and checks what others relay. Default: none, see {@link ReplicaSigning}. */
  readonly signing?: ReplicaSigning
  /** A member was shown to have written two histories of one document. */
  readonly onEquivocation?: (peer: PeerId) => void
  /**
   * The Yjs client id, 0 to 2^32 - 1: a new one at each start, never stored (two live documents with one
   * id differ for ever, silently). Default: drawn from `rng`. Simulations set it.
   */
  readonly clientId?: number
  readonly limits?: Partial<ReplicaLimits>
  /** Bad input that was dropped; the replica goes on. */
  readonly onRefused?: (refusal: Refusal) => void
}

/** Figures for tests, benches and the dashboard. */
export interface ReplicaStats {
  readonly documents: number
  readonly tombstones: number
  /** Encoded size of all documents, in bytes: counting it costs a full encoding. */
  readonly bytes: number
  /** Structures held by Yjs: what memory and transaction times follow. */
  readonly structures: number
  readonly transactions: number
  /** Updates written here, and the messages that carried them. */
  readonly updatesWritten: number
  readonly updatesSent: number
  readonly updateBytesSent: number
  readonly refused: number
}

/** What a replica on Yjs has besides its port. */
export interface ReplicaExtras {
  readonly clientId: number
  /** The storage was read; records from before arrive before it resolves. */
  readonly ready: Promise<void>
  /** Writes what waits, now. */
  flush(): void
  /** Resolves when all that was written so far is signed and sent. */
  settle(): Promise<void>
  /**
   * Resolves when what is known here of a job outlives this peer: another member has it, or it is on this
   * peer's own disk. Waits for a member to come when there is none. Asks nobody until it is called.
   * @throws ShoalError `E_CLOSED` when the replica is closed first
   */
  durable(job: JobId): Promise<void>
  /** Drops the lanes of gone members that nobody needs; runs by itself with each periodic sync. */
  dropRetiredLanes(): number
  /** Of each document that holds anything, by name: equal for replicas with equal contents. */
  contentHashes(): ReadonlyMap<DocumentName, string>
  stats(): ReplicaStats
}

/**
 * The members' shared records in Yjs documents: one per member (its lane) and one per job, each with one
 * writer at a time.
 */
export function createReplica(options: ReplicaOptions): Replica & ReplicaExtras {
  return new YjsReplica(options)
}

class YjsReplica implements Replica, ReplicaExtras {
  readonly clientId: number
  readonly ready: Promise<void>
  readonly #options: ReplicaOptions
  readonly #limits: ReplicaLimits
  readonly #keeper: Keeper | null
  readonly #documents: Documents
  readonly #writer: Writer
  readonly #sync: Sync
  readonly #durability: Durability
  readonly #listeners = new Set<(records: readonly ReplicatedRecord[]) => void>()
  /** Records that arrived before anybody listened. */
  #backlog: ReplicatedRecord[] | null = []
  readonly #leftAt = new Map<PeerId, number>()
  readonly #inboxes: Inboxes
  readonly #unsubscribe: readonly Unsubscribe[]
  #counts = { updatesWritten: 0, updatesSent: 0, updateBytesSent: 0, refused: 0 }
  #isClosed = false

  constructor(options: ReplicaOptions) {
    const { self, network, clock, rng, operations } = options
    this.#options = options
    this.#limits = { ...replicaLimits, ...options.limits }
    this.clientId = options.clientId ?? Math.floor(rng.next() * 2 ** 32)
    const { clientId } = this
    const limits = this.#limits
    const signing = options.signing ?? null
    const onError = (error: unknown): void => this.#refuse(error, self)
    const documents = createDocuments({
      clientId,
      limits,
      signing,
      now: () => clock.now(),
      isPresent: (peer) => network.members().includes(peer),
      onWritten: (document, update) => this.#broadcast(document.name, update),
      onChanged: (document, update) => this.#keeper?.append(document, update),
      onArrived: (document) => this.#deliverArrivals(document),
      onDropped: (name) => options.storage?.drop(name),
    })
    this.#documents = documents
    this.#keeper =
      options.storage === undefined
        ? null
        : createKeeper({ storage: options.storage, documents, limits, onError })
    this.#writer = createWriter({
      self,
      clientId,
      clock,
      documents,
      operations,
      limits,
      signing,
      isAlone: () => options.storage === undefined && network.members().length === 0,
      onError,
    })
    this.#sync = createSync({
      self,
      clock,
      rng,
      network,
      documents,
      limits,
      isSigned: signing !== null,
      onRound: () => {
        this.dropRetiredLanes()
        this.#keeper?.again()
      },
    })
    this.#durability = createDurability({ clock, network, documents, limits })
    this.#inboxes = createInboxes({
      bytesMax: limits.inboxBytes,
      handle: (from, bytes) => this.#receive(from, bytes),
      onRefused: (error, from) => this.#refuse(error, from),
    })
    this.#unsubscribe = [
      network.onMessage((from, bytes) => this.#inboxes.receive(from, bytes)),
      network.onMember((peer, isPresent) => this.#memberChanged(peer, isPresent)),
    ]
    for (const peer of network.members()) this.#memberChanged(peer, true)
    this.ready = this.#keeper?.restore(() => this.#isClosed) ?? Promise.resolve()
  }

  write(records: readonly ReplicatedRecord[]): void {
    this.#writer.write(records)
  }

  onRecords(listener: (records: readonly ReplicatedRecord[]) => void): Unsubscribe {
    this.#listeners.add(listener)
    const backlog = this.#backlog
    this.#backlog = null
    if (backlog !== null && backlog.length > 0) listener(backlog)
    return () => void this.#listeners.delete(listener)
  }

  dropJob(job: JobId): void {
    this.#writer.dropJob(job)
    this.#documents.drop(jobName(job))
  }

  flush(): void {
    this.#writer.flush()
  }

  settle(): Promise<void> {
    return this.#writer.settle()
  }

  async durable(job: JobId): Promise<void> {
    await this.#writer.settle()
    const onDisk = this.#isClosed ? undefined : this.#options.storage?.onDisk?.()
    const isOnDisk = onDisk?.then(
      () => true,
      () => false,
    )
    // A disk that fails is no reason to give up: a member may have it, or come.
    if ((await isOnDisk) !== true) {
      await this.#durability.whenHeld([laneName(this.#options.self), jobName(job)])
    }
  }

  dropRetiredLanes(): number {
    const { network, clock, self } = this.#options
    const present = new Set([self, ...network.members()])
    const goneBefore = clock.now() - this.#limits.laneLingerMs
    const lanes = this.#documents.all().filter(({ kind }) => kind === 'lane')
    const isGone = (peer: PeerId): boolean => {
      if (present.has(peer)) return false
      // A lane of somebody who was never seen here starts its wait when it is noticed first.
      const leftAt = this.#leftAt.get(peer) ?? clock.now()
      this.#leftAt.set(peer, leftAt)
      return leftAt <= goneBefore
    }
    const retired = retiredLanes(lanes, isGone, (job) => this.#documents.isDropped(jobName(job)))
    for (const document of retired) {
      this.#documents.drop(document.name)
      this.#leftAt.delete(document.key as PeerId)
    }
    if (retired.length > 0) this.#pruneWriters(retired)
    return retired.length
  }

  contentHashes(): ReadonlyMap<DocumentName, string> {
    return this.#documents.contentHashes()
  }

  stats(): ReplicaStats {
    const documents = this.#documents.all()
    let bytes = 0
    let structures = 0
    for (const { doc } of documents) {
      bytes += Y.encodeStateAsUpdate(doc).length
      for (const structs of doc.store.clients.values()) structures += structs.length
    }
    return {
      documents: documents.length,
      tombstones: this.#documents.dropped().length,
      bytes,
      structures,
      transactions: this.#writer.transactions,
      ...this.#counts,
    }
  }

  close(): void {
    if (this.#isClosed) return
    this.#writer.close()
    this.#isClosed = true
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    this.#sync.close()
    this.#durability.close()
    this.#documents.close()
    this.#listeners.clear()
  }

  #memberChanged(peer: PeerId, isPresent: boolean): void {
    if (isPresent) {
      this.#leftAt.delete(peer)
      // What nobody was there for waits no longer.
      this.#writer.flush()
      this.#documents.undrop(laneName(peer))
      this.#sync.memberJoined(peer)
      this.#durability.ask(peer)
    } else {
      this.#leftAt.set(peer, this.#options.clock.now())
      this.#sync.memberLeft(peer)
    }
  }

  /** A promise when signatures are checked first: what else comes from the peer waits for that. */
  #receive(from: PeerId, bytes: Uint8Array): Promise<void> | undefined {
    if (this.#isClosed) return
    try {
      const message = decodeReplicaMessage(bytes)
      switch (message.type) {
        case 'update':
        case 'state':
          return this.#apply(from, message.name, message.update, message.type === 'update')?.catch(
            (error: unknown) => this.#refuseUpdate(error, from, message.name),
          )
        case 'digest':
          this.#sync.answer(from, message)
          break
        case 'synced':
          this.#sync.synced(from, message.id)
          break
        case 'dropped':
          this.#tellEnded(from, message.names)
          break
        case 'hold':
          this.#durability.answer(from, message)
          break
        case 'held':
          this.#durability.held(message.id)
          break
      }
    } catch (error) {
      this.#refuse(error, from)
    }
    return
  }

  #apply(from: PeerId, name: DocumentName, update: Uint8Array, isDirect: boolean): Promise<void> | undefined {
    try {
      return this.#documents.apply(name, update, from, isDirect)
    } catch (error) {
      this.#refuseUpdate(error, from, name)
      return
    }
  }

  #refuseUpdate(error: unknown, from: PeerId, name: DocumentName): void {
    if (this.#isClosed) return
    const isOld = error instanceof EarlyError && !this.#sync.gap(from, name, error)
    if (!isOld) this.#refuse(error, from)
    if (error instanceof EquivocationError) this.#options.onEquivocation?.(error.writer)
  }

  /** Another replica dropped these jobs, but their end never came here: say that they ended. */
  #tellEnded(from: PeerId, names: readonly DocumentName[]): void {
    const records: ReplicatedRecord[] = []
    for (const name of names) {
      const document = this.#documents.get(name)
      if (document?.kind === 'job') records.push({ type: 'ended', by: from, job: document.key as JobId })
    }
    this.#deliver(records)
  }

  #deliverArrivals(document: ReplicatedDocument): void {
    const { operations } = this.#options
    const { writers } = this.#documents
    const refuse = (error: unknown, from: string): void => this.#refuse(error, from)
    this.#deliver(readArrivals(document, { operations, writers, refuse }))
  }

  #deliver(records: readonly ReplicatedRecord[]): void {
    if (records.length === 0) return
    if (this.#backlog !== null) this.#backlog.push(...records)
    else for (const listener of this.#listeners) listener(records)
  }

  /** Once to each member, from its writer only: nobody forwards updates. */
  #broadcast(name: DocumentName, update: Uint8Array): void {
    const { network } = this.#options
    this.#counts.updatesWritten++
    const members = network.members()
    if (members.length === 0) return
    const message = encodeReplicaMessage({ type: 'update', name, update })
    for (const peer of members) {
      network.send(peer, message)
      this.#counts.updatesSent++
      this.#counts.updateBytesSent += message.length
    }
  }

  #pruneWriters(retired: readonly ReplicatedDocument[]): void {
    const used = new Set<number>()
    for (const { doc } of this.#documents.all()) {
      for (const client of doc.store.clients.keys()) used.add(client)
    }
    for (const { key } of retired) this.#documents.writers.prune(key as PeerId, (client) => used.has(client))
  }

  #refuse(error: unknown, from: string): void {
    this.#counts.refused++
    const isKnown = error instanceof ShoalError
    const code = isKnown ? error.code : 'E_INVARIANT'
    const message = error instanceof Error ? error.message : String(error)
    this.#options.onRefused?.({ code, message, from })
  }
}
