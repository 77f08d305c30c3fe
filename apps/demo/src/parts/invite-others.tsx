import type { VNode } from 'preact'
import { useState } from 'preact/hooks'
import { InviteCode } from './invite-code.tsx'

/** The link that brings others in. Hidden until asked for: whoever has it can submit work. */
export function InviteOthers({ invite }: { readonly invite: string }): VNode {
  const [isCopied, setIsCopied] = useState(false)
  const [isOpen, setIsOpen] = useState(false)
  return (
    <details class="card" onToggle={(event) => setIsOpen(event.currentTarget.open)}>
      <summary>Invite others</summary>
      <p>Whoever has this link can join this room, send it work and see its pictures.</p>
      <label for="share">Link to this room</label>
      <div class="row">
        <input
          id="share"
          type="text"
          readOnly
          value={invite}
          onFocus={(event) => event.currentTarget.select()}
        />
        {navigator.clipboard !== undefined && (
          <button
            type="button"
            onClick={() =>
              void navigator.clipboard.writeText(invite).then(
                () => setIsCopied(true),
                () => setIsCopied(false),
              )
            }
          >
            {isCopied ? 'Copied' : 'Copy'}
          </button>
        )}
      </div>
      {isOpen && (isOfThisDevice(invite) ? <ThisDeviceOnly /> : <InviteCode invite={invite} />)}
    </details>
  )
}

function ThisDeviceOnly(): VNode {
  return (
    <p class="quiet">
      This link works on this device only. For phones and other computers, open the page by the network
      address that <code>shoal up</code> prints.
    </p>
  )
}

function isOfThisDevice(invite: string): boolean {
  return URL.canParse(invite) && ['127.0.0.1', 'localhost', '[::1]'].includes(new URL(invite).hostname)
}
