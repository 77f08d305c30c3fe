/**
 * Pieces of chunks outside of memory, for as long as this peer runs. Each chunk has a key that is used once:
 * names that come from other peers reach no disk. What it throws is the disk's or the database's own error.
 */
export interface PieceDisk {
  /** Pieces of one chunk may be written in any order. */
  write(key: number, index: number, bytes: Uint8Array): Promise<void>
  /** @param sizeBytes of the piece, as it was written */
  read(key: number, index: number, sizeBytes: number): Promise<Uint8Array>
  /** All pieces of the chunk; unknown ones are no error. */
  drop(key: number): Promise<void>
  /** Removes everything. Idempotent. */
  close(): Promise<void>
}

/** Opens a disk when it is needed for the first time. */
export type OpenDisk = () => Promise<PieceDisk>
