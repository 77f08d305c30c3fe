/** Every limit of the replica, with its unit. Exceeding one is a typed refusal, never a crash. */
export interface ReplicaLimits {
  /** Rows (specifications or outcomes) after which waiting records are written at once. */
  readonly flushRecords: number
  /** Pause between two writes under load, in milliseconds. */
  readonly flushMs: number
  /** The same two while no other member is there and nothing is stored: writing more often serves nobody. */
  readonly aloneFlushRecords: number
  readonly aloneFlushMs: number
  /** Target size of one update, in bytes: below the message size that every link takes. */
  readonly batchBytes: number
  /** Rows in one packed batch. */
  readonly batchRows: number
  /** Largest piece of a sync answer, in bytes (one batch that is larger still goes whole). */
  readonly pieceBytes: number
  /** Largest update that is read at all, in bytes. */
  readonly updateBytes: number
  /** What one member may send while signatures of what it sent before are checked, in bytes. */
  readonly inboxBytes: number
  /** Largest live size of one lane, in bytes: it holds ids and claims, never payloads. */
  readonly laneBytes: number
  /** Largest size of one job document, in bytes: long streams roll to a new job before this. */
  readonly jobBytes: number
  /** Documents held at once. */
  readonly documents: number
  /** Client ids that one peer may write under, over all of its starts that are still held. */
  readonly clientsPerPeer: number
  /** Largest operation source that travels inside a job document, in characters. */
  readonly sourceChars: number
  /** Entries of a digest message. */
  readonly digestEntries: number
  /** `ended` entries that a lane keeps after their jobs were dropped. */
  readonly endedKept: number
  /** Tombstones held at once; the oldest is forgotten first. */
  readonly tombstones: number
  /** Shortest life of a tombstone while there is room, in milliseconds. */
  readonly tombstoneMs: number
  /** How long a gone member's lane is kept at least, in milliseconds. */
  readonly laneLingerMs: number
  /** Shortest and longest pause between two syncs with a random member, in milliseconds. */
  readonly antiEntropyMinMs: number
  readonly antiEntropyMaxMs: number
  /** How long a sync may stay unanswered before it is asked again, in milliseconds. */
  readonly syncTimeoutMs: number
  /** How often an unanswered sync is asked again before anti-entropy has to do. */
  readonly syncTries: number
  /** Updates kept one by one in the storage before they are replaced by a snapshot. */
  readonly compactAfter: number
}

/** The limits in force where a caller names none. */
export const replicaLimits: ReplicaLimits = Object.freeze({
  flushRecords: 256,
  flushMs: 5,
  aloneFlushRecords: 1024,
  aloneFlushMs: 50,
  batchBytes: 160 * 1024,
  batchRows: 1024,
  pieceBytes: 1024 * 1024,
  updateBytes: 16 * 1024 * 1024,
  inboxBytes: 64 * 1024 * 1024,
  laneBytes: 4 * 1024 * 1024,
  jobBytes: 256 * 1024 * 1024,
  documents: 10_000,
  clientsPerPeer: 1_024,
  sourceChars: 256 * 1024,
  digestEntries: 2_000,
  endedKept: 256,
  tombstones: 4_096,
  tombstoneMs: 10 * 60_000,
  laneLingerMs: 60_000,
  antiEntropyMinMs: 10_000,
  antiEntropyMaxMs: 30_000,
  syncTimeoutMs: 1_000,
  syncTries: 5,
  compactAfter: 512,
})
