import { mkdir, open, readdir, readFile, rename, truncate, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { ShoalError } from '@shoal/scheduler'
import { sha256Hex } from '../membership/sha256.ts'
import type { DocumentName } from './document.ts'
import {
  createStorageQueue,
  type DocumentChange,
  type StorageBackend,
  storageFault,
} from './storage.queue.ts'
import type { DurableStorage, StoredDocument } from './storage.ts'

/** First bytes of each file: "SHD" and the version of the format. */
const magic = Uint8Array.of(0x53, 0x48, 0x44, 1)
/** Length and CRC-32 of a record, both little-endian, come before it. */
const prefixBytes = 8
const extension = '.doc'

export interface FileStorageOptions {
  /** Made when needed. Nobody else may write into it. */
  readonly directory: string
  /** Something stored is damaged: it was cut off, the rest is used. */
  readonly onDamage?: (error: ShoalError) => void
}

/**
 * Keeps documents on a disk: one file each that is only appended to, flushed to the disk after each pass.
 * A write that was cut short by the end of the process or the machine is cut off when the file is read.
 * @throws ShoalError `E_STORAGE`, `E_STORAGE_DENIED` or `E_QUOTA` when the folder cannot be used
 */
export async function openFileStorage(options: FileStorageOptions): Promise<DurableStorage> {
  const { directory, onDamage = () => {} } = options
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const loaded: StoredDocument[] = []
    for (const file of (await readdir(directory)).sort()) {
      const path = join(directory, file)
      // A snapshot that was never finished: what it was to replace is still there.
      if (file.endsWith('.tmp')) await unlink(path)
      if (!file.endsWith(extension)) continue
      const document = await readDocument(path, onDamage)
      if (document !== null) loaded.push(document)
    }
    const backend = createFiles(directory, new Set(loaded.map(({ name }) => name)))
    return createStorageQueue({ backend, loaded, batchMs: 0, isDisk: true })
  } catch (error) {
    throw storageFault(error)
  }
}

/** Name of the file of a document: ids may hold any character, and file systems differ in what they take. */
export function documentFile(name: DocumentName): string {
  return `${sha256Hex(name).slice(0, 40)}${extension}`
}

function createFiles(directory: string, known: Set<DocumentName>): StorageBackend {
  async function write(name: DocumentName, { how, updates }: DocumentChange): Promise<void> {
    const path = join(directory, documentFile(name))
    if (how === 'drop') {
      known.delete(name)
      await unlink(path).catch(ignoreMissing)
      return
    }
    if (how === 'append' && known.has(name)) {
      await writeWhole(path, 'a', updates)
      return
    }
    const temporary = `${path}.tmp`
    const head = [magic, ...record(new TextEncoder().encode(name))]
    await writeWhole(temporary, 'w', updates, head)
    await rename(temporary, path)
    await syncDirectory(directory)
    known.add(name)
  }
  return {
    async write(changes) {
      const failed = new Map<DocumentName, unknown>()
      for (const [name, change] of changes) {
        await write(name, change).catch((error: unknown) => failed.set(name, error))
      }
      return failed
    },
    close: async () => {},
  }
}

async function writeWhole(
  path: string,
  flags: 'a' | 'w',
  updates: readonly Uint8Array[],
  head: readonly Uint8Array[] = [],
): Promise<void> {
  const file = await open(path, flags, 0o600)
  try {
    await file.writeFile(Buffer.concat([...head, ...updates.flatMap(record)]))
    await file.datasync()
  } finally {
    await file.close()
  }
}

/** A new name is on the disk only when its folder is; not every system can do that. */
async function syncDirectory(directory: string): Promise<void> {
  try {
    const handle = await open(directory, 'r')
    await handle.sync().finally(() => handle.close())
  } catch {
    // The file itself was flushed.
  }
}

function record(bytes: Uint8Array): readonly Uint8Array[] {
  const prefix = new DataView(new ArrayBuffer(prefixBytes))
  prefix.setUint32(0, bytes.length, true)
  prefix.setUint32(4, crc32(bytes), true)
  return [new Uint8Array(prefix.buffer), bytes]
}

/** Reads a file up to its first bad byte, and cuts off the rest; `null` when nothing of it is good. */
async function readDocument(
  path: string,
  onDamage: (error: ShoalError) => void,
): Promise<StoredDocument | null> {
  const bytes = new Uint8Array(await readFile(path))
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const records: Uint8Array[] = []
  let at = magic.every((byte, index) => bytes[index] === byte) ? magic.length : Number.POSITIVE_INFINITY
  while (at + prefixBytes <= bytes.length) {
    const from = at + prefixBytes
    const length = view.getUint32(at, true)
    if (from + length > bytes.length) break
    const content = bytes.slice(from, from + length)
    if (crc32(content) !== view.getUint32(at + 4, true)) break
    records.push(content)
    at = from + length
  }
  const [head, ...updates] = records
  const name = head === undefined ? null : new TextDecoder().decode(head)
  if (name === null || !path.endsWith(documentFile(name))) {
    // Kept for people to look at, out of our way.
    await rename(path, `${path}.damaged`)
    onDamage(damageError(path, 'its first record must be whole', bytes.length))
    return null
  }
  if (at < bytes.length) {
    await truncate(path, at)
    onDamage(damageError(path, `only ${at} bytes of it are whole`, bytes.length))
  }
  return { name, updates }
}

function damageError(path: string, reason: string, sizeBytes: number): ShoalError {
  return new ShoalError(
    'E_STORAGE',
    `Cannot read all of "${path}" as ${reason}: current value is ${sizeBytes} bytes`,
    {
      data: { path, sizeBytes },
    },
  )
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}
