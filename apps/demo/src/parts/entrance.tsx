import type { VNode } from 'preact'
import { useState } from 'preact/hooks'
import { isInvite } from '../invite-link.ts'
import type { PageState } from '../page-state.ts'
import type { Session } from '../session.ts'
import { signallingAway } from '../words.ts'

/** What a visitor sees before the room: who am I, and where do I go? */
export function Entrance({
  state,
  session,
}: {
  readonly state: PageState
  readonly session: Session
}): VNode {
  const [name, setName] = useState(state.name)
  const isJoining = state.phase === 'joining'
  return (
    <div class="entrance">
      {state.hasLeft && <p class="notice">You left. Nothing runs on this device any more.</p>}
      {state.isSlow && (
        <p class="notice" role="status">
          {signallingAway[0]} yet. Still trying. {signallingAway[1].split(' Then')[0]}
        </p>
      )}
      {state.invite === null ? (
        <NoInvite session={session} name={name} isJoining={isJoining} />
      ) : (
        <form
          class="card"
          onSubmit={(event) => {
            event.preventDefault()
            void session.join(state.invite, name.trim() || state.name)
          }}
        >
          <h2>Join {state.room === '' ? 'the room' : `room ${state.room}`}</h2>
          <p>
            In a room, devices lend each other their processors. Joining costs nothing: this device computes
            for others only after you press <strong>Contribute</strong>.
          </p>
          <NameField name={name} onName={setName} isDisabled={isJoining} />
          <div class="row">
            <button type="submit" class="main" disabled={isJoining}>
              {isJoining ? 'Joining …' : 'Join'}
            </button>
            {isJoining && (
              <button type="button" onClick={() => void session.leave()}>
                Stop
              </button>
            )}
          </div>
        </form>
      )}
    </div>
  )
}

interface NoInviteProps {
  readonly session: Session
  readonly name: string
  readonly isJoining: boolean
}

function NoInvite({ session, name, isJoining }: NoInviteProps): VNode {
  const [link, setLink] = useState('')
  const [isBad, setIsBad] = useState(false)
  return (
    <>
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault()
          const isGood = isInvite(link)
          setIsBad(!isGood)
          if (isGood) void session.join(link.trim(), name)
        }}
      >
        <h2>You need an invite to join a room</h2>
        <p>Open the link that you were given, scan its code with your phone, or paste it here.</p>
        <label for="invite">Invite link</label>
        <input
          id="invite"
          type="url"
          value={link}
          autocomplete="off"
          spellcheck={false}
          placeholder="http://…/#room=…"
          aria-invalid={isBad}
          aria-describedby={isBad ? 'invite-error' : undefined}
          onInput={(event) => setLink(event.currentTarget.value)}
        />
        {isBad && (
          <p id="invite-error" class="error" role="alert">
            This is not a whole invite link. It has a # and a long key after it.
          </p>
        )}
        <button type="submit" class="main" disabled={isJoining}>
          {isJoining ? 'Joining …' : 'Join'}
        </button>
      </form>
      <section class="card">
        <h2>Or open a room of your own</h2>
        <p>
          On a computer with Node: <code>npx shoal up</code>. It prints links for your other devices and your
          friends. They need not install anything.
        </p>
        <h2>Or try it alone</h2>
        <p>The same page on this device's own processors, without any network.</p>
        <button type="button" disabled={isJoining} onClick={() => void session.join(null, name)}>
          Try it alone
        </button>
      </section>
    </>
  )
}

interface NameFieldProps {
  readonly name: string
  readonly onName: (name: string) => void
  readonly isDisabled: boolean
}

function NameField({ name, onName, isDisabled }: NameFieldProps): VNode {
  return (
    <>
      <label for="name">Your name in the room</label>
      <input
        id="name"
        type="text"
        value={name}
        maxLength={40}
        autocomplete="nickname"
        disabled={isDisabled}
        onInput={(event) => onName(event.currentTarget.value)}
      />
    </>
  )
}
