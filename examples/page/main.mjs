// 1. Lend from a page: run this, open the link it prints in any browser, press "Contribute".
import { joinMesh } from '@shoal/sdk'
import { hostRoom } from '@shoal/sdk/node'

const room = await hostRoom({ host: process.env.HOST ?? '127.0.0.1' })
const mesh = await joinMesh(room.memberInvite, { name: 'desk', workers: 0 })
console.log(`Open this and press Contribute: ${room.contributorInvite}`)

// Nothing computes here: the work waits until a page lends a worker.
const squares = await mesh.map((n) => n * n, [1, 2, 3, 4])
console.log(`Computed in your browser: ${squares.join(' ')}`)

await mesh.close()
await room.close()
