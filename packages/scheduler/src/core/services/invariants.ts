import { assert } from '../../model/errors.ts'
import { isHostHere, type ServicesState } from './state.ts'

/** What must hold of every service after every step. For tests. */
export function assertServices(state: ServicesState): void {
  assert(state.dirty.size + state.due.size === 0, 'A step ends with something to send about services')
  for (const { id, claim, ended, hosted, bid } of state.services.values()) {
    assert(ended === null || (hosted === null && bid === null), `Service "${id}" has ended and goes on here`)
    assert(bid === null || bid.claim === claim, `Service "${id}" is bid for on an old claim`)
    if (hosted === null) continue
    const isHost = claim !== null && isHostHere(state, claim)
    assert(!hosted.isActing || isHost, `Service "${id}" acts here, and its claim names ${claim?.host}`)
    assert(hosted.ran <= hosted.seq, `Service "${id}" ran ${hosted.ran} calls of ${hosted.seq}`)
    assert(
      state.byInstance.get(hosted.instance)?.id === id,
      `Service "${id}" has an instance that is nobody’s`,
    )
    let last = -1
    for (const { seq } of hosted.outbox) {
      assert(seq >= last && seq > hosted.released, `Service "${id}" keeps reply ${seq} after ${last}`)
      last = seq
    }
    const entries = [...hosted.running, ...hosted.queue]
    entries.forEach(({ seq }, index) => {
      const wanted = hosted.seq - entries.length + 1 + index
      assert(seq === wanted, `Service "${id}" has call ${seq} where ${wanted} stands`)
    })
  }
}
