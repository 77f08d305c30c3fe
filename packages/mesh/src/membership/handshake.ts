import { type Clock, type CloseReason, type PeerRole, ShoalError } from '@shoal/scheduler'
import { limits } from '../limits.ts'
import { readRefused } from '../wire/control.ts'
import { type FrameType, frameTypes, protocol } from '../wire/frames.ts'
import type { Remote } from '../wire/incoming.ts'
import type { Pipe } from '../wire/pipe.ts'
import { asShoalError } from '../wire/pipe.ts'
import { concat, equalBytes } from './bytes.ts'
import {
  hmac,
  type Identity,
  isMac,
  isSignature,
  isWeakKey,
  peerIdOf,
  type RoomKeys,
  sha256,
} from './crypto.ts'
import {
  build,
  type Hello,
  identityError,
  type Proof,
  readHello,
  readProof,
  writeHello,
  writeProof,
} from './hello.ts'

export interface HandshakeOptions {
  readonly pipe: Pipe
  /** Whether this side dialled: the two halves of a handshake must not be interchangeable. */
  readonly isDialler: boolean
  readonly identity: Identity
  readonly keys: RoomKeys
  readonly role: PeerRole
  readonly epoch: number
  readonly room: string
  readonly clock: Clock
  readonly random: (length: number) => Uint8Array
  /** Refuses a peer by throwing: fenced, too many links. Its identity is claimed, not yet proved. */
  readonly admit: (claimed: Remote) => void
}

/** The error of a handshake that the other side refused: `data.isTheirs`, and `data.epoch` when fenced. */
export function refusedByPeer(code: string, message: string, epoch: number | null): ShoalError {
  return new ShoalError(code, `Cannot join a peer as it refused: ${message}`, {
    data: { isTheirs: true, epoch },
  })
}

/**
 * Says hello, proves both sides to each other and binds that to this very link. Nothing but the two
 * hello frames of at most `limits.helloBytesMax` is read before that. When it resolves the pipe is
 * held: set a reader, then release it.
 * @throws ShoalError `E_HELLO_TIMEOUT`, `E_VERSION`, `E_IDENTITY`, `E_AUTH`, `E_CHANNEL_BINDING`,
 *   `E_AUTH_REQUIRED`, `E_FORBIDDEN`, what `admit` throws, or the code that the other side gave;
 *   the pipe is closed then
 */
export function shakeHands(options: HandshakeOptions): Promise<Remote> {
  const { pipe, clock } = options
  const mine: Hello = {
    protocolMin: protocol.min,
    protocolMax: protocol.max,
    build,
    role: options.role,
    peer: options.identity.peer,
    publicKey: options.identity.publicKey,
    nonce: options.random(32),
    epoch: options.epoch,
  }
  const myBody = writeHello(mine)
  return new Promise((resolve, reject) => {
    let theirs: { readonly hello: Hello; readonly body: Uint8Array } | null = null
    let isOver = false
    let failure: ShoalError | null = null

    const succeed = (hello: Hello): void => {
      if (isOver) return
      isOver = true
      cancelTimer()
      resolve(remoteOf(hello))
    }
    /** Refuses: the promise ends with the link, by when the other side may have refused, too. */
    const refuse = (error: ShoalError): void => {
      if (isOver) return
      isOver = true
      cancelTimer()
      failure = error
      pipe.end(error)
    }
    const refusedBy = (body: Uint8Array): void => {
      const { code, message, epoch } = readRefused(body)
      // Both sides may find the other's epoch stale: theirs is what this side can mend.
      if (failure === null || code === 'E_EPOCH_STALE') failure = refusedByPeer(code, message, epoch)
      pipe.close()
    }
    const cancelTimer = clock.setTimer(clock.now() + limits.helloTimeoutMs, () => refuse(timeoutError()))

    /** Frames wait while WebCrypto works, so that they are read in order. */
    const slowly = (work: () => Promise<void>): void => {
      pipe.hold()
      work().catch((error: unknown) => refuse(asShoalError(error)))
    }

    const onHello = async (body: Uint8Array): Promise<void> => {
      const hello = readHello(body)
      await checkHello(hello, mine)
      if (isOver) return
      options.admit(remoteOf(hello))
      theirs = { hello, body: body.slice() }
      pipe.send(frameTypes.proof, writeProof(await prove(options, hello, myBody, theirs.body)))
      if (!isOver) pipe.release()
    }
    const onProof = async (body: Uint8Array): Promise<void> => {
      if (theirs === null) throw authRequired(frameTypes.proof)
      await checkProof(options, theirs.hello, readProof(body), myBody, theirs.body)
      if (isOver) return
      options.admit(remoteOf(theirs.hello))
      succeed(theirs.hello)
    }

    pipe.onClose((reason) => {
      isOver = true
      cancelTimer()
      reject(failure ?? closedError(reason))
    })
    pipe.setReader({
      bytesMax: limits.helloBytesMax,
      framesPerS: 16,
      onFrame(type: FrameType, body: Uint8Array) {
        if (type === frameTypes.refused) refusedBy(body)
        else if (type === frameTypes.hello && theirs === null) slowly(() => onHello(body))
        else if (type === frameTypes.proof) slowly(() => onProof(body))
        else refuse(authRequired(type))
      },
    })
    pipe.send(frameTypes.hello, myBody)
  })
}

async function checkHello(hello: Hello, mine: Hello): Promise<void> {
  // Our own nonce or key coming back is a mirror, whatever else it says.
  if (equalBytes(hello.nonce, mine.nonce) || equalBytes(hello.publicKey, mine.publicKey)) {
    throw authError('its hello must be its own: it sent ours back')
  }
  if (isWeakKey(hello.publicKey)) throw identityError('its public key must not be of small order: it is')
  const peer = await peerIdOf(hello.publicKey)
  if (peer !== hello.peer) throw identityError(`its id must be ${peer}: current value is ${hello.peer}`)
  if (hello.role === 'contributor' && mine.role === 'contributor') {
    throw new ShoalError(
      'E_FORBIDDEN',
      'Cannot link two contributors as one side must be a member: current value is contributor',
    )
  }
}

async function prove(
  options: HandshakeOptions,
  theirs: Hello,
  myBody: Uint8Array,
  theirBody: Uint8Array,
): Promise<Proof> {
  const fingerprints = fingerprintsOf(options)
  const hellos = options.isDialler ? [myBody, theirBody] : [theirBody, myBody]
  const transcript = await transcriptOf(options.room, options.isDialler, hellos, fingerprints)
  const { room } = options.keys
  return {
    mac: await hmac(linkKey(options, theirs), transcript),
    signature: await options.identity.sign(transcript),
    fingerprints,
    room:
      theirs.role === 'contributor' && room !== null
        ? { publicKey: room.publicKey, signature: await room.sign(transcript) }
        : null,
  }
}

async function checkProof(
  options: HandshakeOptions,
  theirs: Hello,
  proof: Proof,
  myBody: Uint8Array,
  theirBody: Uint8Array,
): Promise<void> {
  const hellos = options.isDialler ? [myBody, theirBody] : [theirBody, myBody]
  // Checked against what they saw, first: only then is a difference in what we see a man in the middle.
  const transcript = await transcriptOf(options.room, !options.isDialler, hellos, proof.fingerprints)
  if (!(await isMac(linkKey(options, theirs), proof.mac, transcript))) {
    throw authError("its proof of the room's key must be right: it is not (another room, or another invite)")
  }
  if (!(await isSignature(theirs.publicKey, proof.signature, transcript))) {
    throw identityError('its signature must be that of its public key: it is not')
  }
  if (options.role === 'contributor') await checkRoom(options.keys, proof, transcript)
  const mine = fingerprintsOf(options)
  const isSame =
    mine === null ? proof.fingerprints === null : mine.every((one, at) => one === proof.fingerprints?.[at])
  if (!isSame) {
    throw new ShoalError(
      'E_CHANNEL_BINDING',
      'Cannot accept a peer as both ends must see the same link: their fingerprints differ (somebody is in between)',
    )
  }
}

/** Contributors cannot check the members' key, so members show the room's signature. */
async function checkRoom(keys: RoomKeys, proof: Proof, transcript: Uint8Array): Promise<void> {
  const { room } = proof
  const isRight =
    room !== null &&
    equalBytes((await sha256(room.publicKey)).slice(0, 16), keys.roomKeyHash) &&
    (await isSignature(room.publicKey, room.signature, transcript))
  if (!isRight) throw authError("it must show the room's signature to be a member: it does not")
}

function linkKey({ keys, role }: HandshakeOptions, theirs: Hello): Uint8Array {
  return role === 'member' && theirs.role === 'member' && keys.member !== null
    ? keys.member
    : keys.contributor
}

/** The dialler's fingerprint first, on both sides. */
function fingerprintsOf({ pipe, isDialler }: HandshakeOptions): readonly [string, string] | null {
  const { binding } = pipe.link
  if (binding === null) return null
  const local = binding.local.toUpperCase()
  const remote = binding.remote.toUpperCase()
  return isDialler ? [local, remote] : [remote, local]
}

const encoder = new TextEncoder()

async function transcriptOf(
  room: string,
  isByDialler: boolean,
  hellos: readonly Uint8Array[],
  fingerprints: readonly [string, string] | null,
): Promise<Uint8Array> {
  const label = `shoal hello v1 ${isByDialler ? 'dialler' : 'answerer'} ${JSON.stringify([room, fingerprints])}`
  const hashes = await Promise.all([encoder.encode(label), ...hellos].map(sha256))
  return concat(hashes)
}

function remoteOf(hello: Hello): Remote {
  return { peer: hello.peer, role: hello.role, epoch: hello.epoch }
}

function closedError(reason: CloseReason): ShoalError {
  return new ShoalError('E_DIAL', `Cannot join a peer as its link must stay open: it closed (${reason})`)
}

function timeoutError(): ShoalError {
  return new ShoalError(
    'E_HELLO_TIMEOUT',
    `Cannot join a peer as it must prove itself within ${limits.helloTimeoutMs} ms: it did not`,
  )
}

function authError(reason: string): ShoalError {
  return new ShoalError('E_AUTH', `Cannot accept a peer as ${reason}`)
}

function authRequired(type: number): ShoalError {
  return new ShoalError(
    'E_AUTH_REQUIRED',
    `Cannot read a frame as its sender must prove itself first: it sent type ${type}`,
  )
}
