// `npm start`: from a fresh clone to a picture that two other processes drew, over WebRTC.
// `npm start -- --exit` ends after the picture.
import { spawn } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { cutTiles, encodePng, paint, renderTile } from './mandelbrot.mjs'
import { ensurePackages, root, runTool } from './setup.mjs'

const isOneShot = process.argv.includes('--exit')
const [width, height, tileSize] = [1024, 640, 64]
const peerNames = ['otter', 'heron']
/** Joining takes a second or two; by then something is wrong. */
const joinTimeoutMs = 30_000
const cli = join(root, 'packages/sdk/bin/shoal.mjs')

const children = []
const closers = []
let isClosing = false

async function main() {
  await ensurePackages()
  await step('Building', build)
  const sdk = await fromDist('node.js')
  const { hostRoom } = await fromDist('node-extras.js')
  const { silenceEd25519Warning } = await fromDist('cli/warnings.js')
  silenceEd25519Warning()
  const host = await step('Opening a room', () => openRoom(hostRoom))
  closers.push(() => host.close())
  const mesh = await step('Starting two peers', () => gather(sdk, host))
  const startedAt = performance.now()
  const { pixels, tilesByPeer } = await render(mesh)
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  writeFileSync(join(root, 'mandelbrot.png'), encodePng(width, height, pixels))
  console.log(`\nmandelbrot.png: ${width} x ${height} pixels in ${seconds} s, over WebRTC`)
  report(mesh, tilesByPeer)
  if (isOneShot) return
  const { qrCode } = await fromDist('cli/qr.js')
  console.log(`\nOpen the page and join:   ${host.invite('member', host.localUrl)}`)
  if (host.url !== host.localUrl) {
    console.log(`From another device:      ${host.memberInvite}\n\n${qrCode(host.memberInvite)}`)
  }
  console.log('\nThe links are keys to this room: share them with people you trust. Ctrl-C ends it.')
  await new Promise((resolve) => closers.push(resolve))
}

/** Says what takes time, and how long it took. */
async function step(name, work) {
  const startedAt = performance.now()
  process.stdout.write(`${name} ... `)
  const value = await work()
  console.log(`${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
  return value
}

async function build() {
  const results = await Promise.all([
    runTool('tsc', ['-b', 'packages/sdk'], { isQuiet: true }),
    runTool('vite', ['build', 'apps/demo', '--logLevel', 'warn'], { isQuiet: true }),
  ])
  const failed = results.filter(({ code }) => code !== 0)
  if (failed.length > 0) throw new Error(`Cannot build:\n${failed.map(({ output }) => output).join('\n')}`)
}

function fromDist(file) {
  const path = join(root, 'packages/sdk/dist', file)
  if (!existsSync(path)) throw new Error(`Cannot start as the build must hold ${path}`)
  return import(pathToFileURL(path).href)
}

/** A run that stays is reachable from other devices; one that ends at once stays on this machine. */
async function openRoom(hostRoom) {
  if (isOneShot) return await hostRoom({ host: '127.0.0.1', port: 0 })
  try {
    return await hostRoom({ host: '0.0.0.0', port: 7420 })
  } catch (error) {
    if (error.code !== 'E_LISTEN') throw error
    return await hostRoom({ host: '0.0.0.0', port: 0 })
  }
}

/** Starts the peers in processes of their own, and joins as a member that lends nothing itself. */
async function gather(sdk, host) {
  const workers = String(Math.max(1, Math.floor(availableParallelism() / peerNames.length)))
  const invite = host.invite('member', host.localUrl)
  for (const name of peerNames) startPeer(name, workers, invite)
  const mesh = await sdk.joinMesh(invite, { name: 'you', workers: 0 })
  closers.unshift(() => mesh.close())
  const isComplete = () =>
    peerNames.every((name) => mesh.peers.some((peer) => peer.name === name && peer.processors.length > 0))
  await new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error('Cannot gather the peers: run "node packages/sdk/bin/shoal.mjs doctor"')),
      joinTimeoutMs,
    )
    const check = () => {
      if (!isComplete()) return
      clearTimeout(timer)
      resolve()
    }
    mesh.on('peers-changed', check)
    check()
  })
  return mesh
}

function startPeer(name, workers, invite) {
  const child = spawn(process.execPath, [cli, 'join', '--name', name, '--workers', workers], {
    // The environment, not the command line: a list of processes shows no key.
    env: { ...process.env, SHOAL_INVITE: invite },
    // The channel ends the peer should this process be killed.
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    // Ctrl-C reaches this process alone, which then ends the peers in order.
    detached: process.platform !== 'win32',
  })
  let errors = ''
  child.stderr.on('data', (data) => {
    errors = (errors + data).slice(-2_000)
  })
  child.on('exit', (code) => {
    if (!isClosing) void close(new Error(`Peer "${name}" ended (exit code ${code}):\n${errors}`))
  })
  children.push(child)
}

async function render(mesh) {
  const tiles = cutTiles(width, height, tileSize)
  const pixels = new Uint8Array(width * height * 3)
  const tilesByPeer = new Map()
  const group = mesh.map(renderTile, tiles)
  let done = 0
  drawProgress(done, tiles.length)
  for await (const record of group) {
    if (record.status !== 'done') throw record.error
    paint(pixels, tiles[record.index], record.value)
    tilesByPeer.set(record.peer, (tilesByPeer.get(record.peer) ?? 0) + 1)
    done += 1
    drawProgress(done, tiles.length)
  }
  return { pixels, tilesByPeer }
}

function drawProgress(done, total) {
  const cells = 30
  const filled = Math.round((cells * done) / total)
  const line = `Rendering [${'#'.repeat(filled)}${'.'.repeat(cells - filled)}] ${done} of ${total} tiles`
  if (process.stdout.isTTY) process.stdout.write(`\r${line}`)
  else if (done === total || done % Math.ceil(total / 5) === 0) console.log(line)
}

function report(mesh, tilesByPeer) {
  const total = [...tilesByPeer.values()].reduce((sum, count) => sum + count, 0)
  const names = new Map(mesh.peers.map((peer) => [peer.id, peer.name]))
  for (const [peer, count] of [...tilesByPeer].sort((a, b) => b[1] - a[1])) {
    const share = `${Math.round((100 * count) / total)} %`
    console.log(
      `  ${(names.get(peer) ?? peer).padEnd(10)} ${String(count).padStart(4)} tiles  ${share.padStart(5)}`,
    )
  }
}

/** Ends everything that was started, once. */
async function close(error) {
  if (isClosing) return
  isClosing = true
  if (error !== undefined) {
    console.error(`\n${error.code === undefined ? '' : `${error.code}: `}${error.message}`)
    process.exitCode = 1
  }
  const ended = children.map((child) =>
    child.exitCode === null ? new Promise((resolve) => child.once('exit', resolve)) : null,
  )
  for (const child of children) child.kill('SIGTERM')
  const stubborn = setTimeout(() => children.forEach((child) => void child.kill('SIGKILL')), 3_000)
  await Promise.all(ended)
  clearTimeout(stubborn)
  for (const closer of closers) await closer()
  process.exit()
}

for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => void close())
main().then(
  () => close(),
  (error) => close(error),
)
