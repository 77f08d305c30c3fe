import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInvite } from '@shoal/mesh'
import { ShoalError } from '@shoal/scheduler'

/** A room's name and secret: whoever has both has its member invite. */
export interface RoomKey {
  readonly room: string
  /** 32 bytes. */
  readonly secret: Uint8Array
}

/**
 * The room kept in `dataDir`, made and written on the first call. Only this user may read the file.
 * @throws ShoalError `E_STORAGE` when the folder cannot be used or holds something else
 */
export async function keepRoomKey(dataDir: string): Promise<RoomKey> {
  const file = join(dataDir, 'room.json')
  try {
    await mkdir(dataDir, { recursive: true })
    const { room, key } = (await createInvite({ url: 'http://127.0.0.1' })).member
    const fresh = JSON.stringify({ room, secret: Buffer.from(key).toString('base64url') })
    // Of two processes that start at once, one writes; both read what it wrote.
    await writeFile(file, `${fresh}\n`, { flag: 'wx', mode: 0o600 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
    return readKey(await readFile(file, 'utf8'))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new ShoalError('E_STORAGE', `Cannot keep the room in "${file}": ${reason}`, { cause })
  }
}

function readKey(text: string): RoomKey {
  const { room, secret } = JSON.parse(text) as { room?: unknown; secret?: unknown }
  const bytes = new Uint8Array(Buffer.from(typeof secret === 'string' ? secret : '', 'base64url'))
  if (typeof room === 'string' && bytes.length === 32) return { room, secret: bytes }
  throw new Error('it does not hold a room')
}
