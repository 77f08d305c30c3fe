import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { ShoalError } from '@shoal/scheduler'
import { fromBase64Url, toBase64Url } from './bytes.ts'
import { identityFromSeed } from './crypto.ts'
import { type KeptIdentity, slotsMax } from './identity.ts'

/** An identity that is kept in a folder of its own. */
export interface FileIdentity extends KeptIdentity {
  /** The folder: what else this peer keeps belongs there. */
  readonly directory: string
}

interface PeerFile {
  /** 32 secret bytes, base64url. */
  readonly seed: string
  readonly epoch: number
}

/**
 * Takes the first identity in `directory` that no living process has, or makes one there. Only this user
 * may read its file.
 * @throws the file system's error
 */
export async function takeFileIdentity(directory: string): Promise<FileIdentity> {
  for (let slot = 1; slot <= slotsMax; slot++) {
    const folder = join(directory, String(slot))
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const release = tryLock(join(folder, 'lock'))
    if (release === null) continue
    try {
      return {
        ...(await readIdentity(join(folder, 'peer.json'))),
        directory: folder,
        release: async () => release(),
      }
    } catch (error) {
      release()
      throw error
    }
  }
  const text = `Cannot keep another peer in "${directory}" as there must be at most ${slotsMax}`
  throw new ShoalError('E_STORAGE', `${text}: current value is ${slotsMax}`)
}

async function readIdentity(path: string): Promise<Omit<FileIdentity, 'directory' | 'release'>> {
  const kept = readPeerFile(path)
  const { seed } = kept
  const epoch = kept.epoch + 1
  let saved = epoch
  writePeerFile(path, { seed, epoch })
  return {
    identity: await identityFromSeed(fromBase64Url(seed)),
    epoch,
    saveEpoch(next) {
      if (next <= saved) return
      saved = next
      try {
        writePeerFile(path, { seed, epoch: next })
      } catch (error) {
        // The next start may be refused once, and is told then how high it must go.
        console.error(error)
      }
    },
  }
}

function readPeerFile(path: string): PeerFile {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return freshPeer()
  }
  try {
    const { seed, epoch } = JSON.parse(text) as Partial<PeerFile>
    if (typeof seed === 'string' && fromBase64Url(seed).length === 32 && Number.isSafeInteger(epoch)) {
      return { seed, epoch: epoch as number }
    }
  } catch {
    // As below.
  }
  // Without its epoch an identity is worth nothing: others would take the new start for the old one.
  renameSync(path, `${path}.damaged`)
  return freshPeer()
}

function freshPeer(): PeerFile {
  return { seed: toBase64Url(crypto.getRandomValues(new Uint8Array(32))), epoch: 0 }
}

/** On the disk before it is used, and never half of it. */
function writePeerFile(path: string, peer: PeerFile): void {
  const temporary = `${path}.tmp`
  const file = openSync(temporary, 'w', 0o600)
  try {
    writeFileSync(file, `${JSON.stringify(peer)}\n`)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(temporary, path)
}

/** Holds `path` for this process; `null` when a living one does. */
function tryLock(path: string): (() => void) | null {
  const holder = `${process.pid} ${startOf(process.pid) ?? ''} ${Math.random().toString(36).slice(2)}`
  const own = `${path}.${holder.replaceAll(' ', '-')}`
  writeFileSync(own, holder)
  try {
    for (let tries = 0; tries < 3; tries++) {
      if (link(own, path)) return () => unlock(path, holder)
      const held = read(path)
      if (held !== null && isAlive(held)) return null
      if (held !== null && !takeAway(path, held, `${own}.dead`)) return null
    }
    return null
  } finally {
    rmSync(own, { force: true })
  }
}

/** Removes the lock of a dead process. `false`: it was somebody else's by then, and is put back. */
function takeAway(path: string, dead: string, aside: string): boolean {
  try {
    renameSync(path, aside)
  } catch {
    return true
  }
  const isDead = read(aside) === dead
  if (!isDead) link(aside, path)
  rmSync(aside, { force: true })
  return isDead
}

function unlock(path: string, holder: string): void {
  if (read(path) === holder) unlinkSync(path)
}

/** Makes a second name for a file; `false` when the name is taken. */
function link(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function isAlive(holder: string): boolean {
  const [pid = '', start = ''] = holder.split(' ')
  // Process ids are used again, after a restart of the machine all of them.
  const now = startOf(Number(pid))
  if (now !== null) return now === start
  try {
    process.kill(Number(pid), 0)
    return start === ''
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** When a process was started, in the system's own units; `null` where that cannot be known or it has ended. */
function startOf(pid: number): string | null {
  const stat = read(`/proc/${pid}/stat`)
  // The name, in brackets, may hold anything.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  if (fields === undefined || fields[0] === 'Z' || fields[0] === 'X') return null
  return fields[19] ?? null
}
