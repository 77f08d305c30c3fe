import type { VNode } from 'preact'
import type { PageState } from '../page-state.ts'
import type { PeerRow } from '../tally.ts'

/** Who is here, what they lend, what they did. */
export function Peers({ state }: { readonly state: PageState }): VNode {
  return (
    <section class="card peers" aria-labelledby="peers-title">
      <h2 id="peers-title">Peers</h2>
      <table aria-labelledby="peers-title">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Lends</th>
            <th scope="col" class="number">
              Tiles
            </th>
            <th scope="col" class="number">
              Tiles/s
            </th>
          </tr>
        </thead>
        <tbody>
          {state.peers.map((peer) => (
            <Row key={peer.id} peer={peer} />
          ))}
        </tbody>
      </table>
    </section>
  )
}

const stateWords = { here: '', silent: 'does not answer', left: 'left' } as const

function Row({ peer }: { readonly peer: PeerRow }): VNode {
  const notes = [
    peer.isSelf ? 'you' : '',
    peer.role === 'contributor' ? 'lends only' : '',
    stateWords[peer.state],
  ].filter((note) => note !== '')
  return (
    <tr class={peer.state} data-peer={peer.id} data-state={peer.state}>
      <th scope="row">
        <span class="swatch" style={{ background: peer.colour }} aria-hidden="true" />
        <span class="peer-name">{peer.name}</span>
        {notes.length > 0 && <span class="note">{notes.join(', ')}</span>}
      </th>
      <td>{peer.processors}</td>
      <td class="number">{peer.done}</td>
      <td class="number">{peer.perSecond.toFixed(1)}</td>
    </tr>
  )
}
