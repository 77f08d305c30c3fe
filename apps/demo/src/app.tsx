import type { VNode } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { PageState } from './page-state.ts'
import { Contribute } from './parts/contribute.tsx'
import { Entrance } from './parts/entrance.tsx'
import { GalleryPanel } from './parts/gallery.tsx'
import { InviteOthers } from './parts/invite-others.tsx'
import { Peers } from './parts/peers.tsx'
import { WallPanel } from './parts/wall-panel.tsx'
import type { Session } from './session.ts'
import { healthLine, type Problem } from './words.ts'

/** The whole page: an entrance before the room, and the room. */
export function App({ session }: { readonly session: Session }): VNode {
  const [state, setState] = useState(session.store.state)
  useEffect(() => {
    setState(session.store.state)
    return session.store.subscribe(() => setState(session.store.state))
  }, [session])
  return (
    <>
      <Header state={state} onLeave={() => void session.leave()} />
      <main>
        {state.problem !== null && (
          <ProblemBox problem={state.problem} onClose={() => session.store.set({ problem: null })} />
        )}
        {state.phase === 'in' ? (
          <div class="room">
            <Contribute state={state} session={session} />
            <WallPanel state={state} session={session} />
            <div class="side">
              <Peers state={state} />
              {!state.isAlone && state.role === 'member' && <GalleryPanel state={state} session={session} />}
              {!state.isAlone && state.role === 'member' && <InviteOthers invite={state.invite ?? ''} />}
            </div>
          </div>
        ) : (
          <Entrance state={state} session={session} />
        )}
      </main>
      <p class="unseen" role="status" aria-live="polite">
        {state.announcement}
      </p>
    </>
  )
}

function Header({ state, onLeave }: { readonly state: PageState; readonly onLeave: () => void }): VNode {
  const isIn = state.phase === 'in' && state.health !== null
  return (
    <header>
      <div class="brand">
        <h1>Shoal</h1>
        {isIn && <span class="room-name">{state.isAlone ? 'this device' : `room ${state.room}`}</span>}
      </div>
      {isIn && state.health !== null && (
        <>
          <div class={state.health.isOnline || state.isAlone ? 'health' : 'health away'}>
            <p>{healthLine(state.health, state.isAlone)}</p>
            {state.health.reasons.length > 0 && (
              <details>
                <summary>Notes</summary>
                <ul>
                  {state.health.reasons.map((reason) => (
                    <li key={reason}>{reason}</li>
                  ))}
                </ul>
              </details>
            )}
          </div>
          <button type="button" onClick={onLeave}>
            Leave
          </button>
        </>
      )}
    </header>
  )
}

function ProblemBox({
  problem,
  onClose,
}: {
  readonly problem: Problem
  readonly onClose: () => void
}): VNode {
  return (
    <section class="problem" role="alert">
      <div>
        <strong>{problem.title}</strong>
        <p>{problem.advice}</p>
        <details>
          <summary>Details</summary>
          <code>{problem.detail}</code>
        </details>
      </div>
      <button type="button" onClick={onClose}>
        Close
      </button>
    </section>
  )
}
