import { constants, rmSync } from 'node:fs'
import { type FileHandle, mkdir, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { limits } from '../limits.ts'
import type { OpenDisk, PieceDisk } from './disk.ts'

/**
 * Keeps chunks in files, one for each, in a folder that is emptied first and removed at the end.
 * @param directory for this process alone; default: a fresh one among the system's temporary files
 */
export function fileDisk(directory?: string): OpenDisk {
  return async () => {
    if (directory === undefined) return openDisk(await mkdtemp(join(tmpdir(), 'shoal-chunks-')))
    // What an earlier start left there, nobody refers to any more.
    await rm(directory, { recursive: true, force: true })
    await mkdir(directory, { recursive: true, mode: 0o700 })
    return openDisk(directory)
  }
}

function openDisk(directory: string): PieceDisk {
  const pathOf = (key: number): string => join(directory, `${key}`)
  const removeNow = (): void => rmSync(directory, { recursive: true, force: true })
  process.once('exit', removeNow)

  async function within<T>(path: string, flags: number, act: (file: FileHandle) => Promise<T>): Promise<T> {
    const file = await open(path, flags, 0o600)
    try {
      return await act(file)
    } finally {
      await file.close()
    }
  }

  return {
    async write(key, index, bytes) {
      await within(pathOf(key), constants.O_RDWR | constants.O_CREAT, async (file) => {
        for (let done = 0; done < bytes.length; ) {
          const at = offsetOf(index) + done
          done += (await file.write(bytes, done, bytes.length - done, at)).bytesWritten
        }
      })
    },
    async read(key, index, sizeBytes) {
      const bytes = new Uint8Array(sizeBytes)
      await within(pathOf(key), constants.O_RDONLY, async (file) => {
        for (let done = 0; done < sizeBytes; ) {
          const { bytesRead } = await file.read(bytes, done, sizeBytes - done, offsetOf(index) + done)
          if (bytesRead === 0) throw new Error(`the file ends ${sizeBytes - done} bytes too early`)
          done += bytesRead
        }
      })
      return bytes
    },
    drop: (key) => rm(pathOf(key), { force: true }),
    async close() {
      process.off('exit', removeNow)
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function offsetOf(index: number): number {
  return index * limits.chunkPieceBytes
}
