import type { VNode } from 'preact'
import { useState } from 'preact/hooks'

/** The link that brings others in. Hidden until asked for: whoever has it can submit work. */
export function InviteOthers({ invite }: { readonly invite: string }): VNode {
  const [isCopied, setIsCopied] = useState(false)
  return (
    <details class="card">
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
    </details>
  )
}
