import { render } from 'preact'
import './styles.css'
import { App } from './app.tsx'
import { isInvite, keepInvite, takeInvite } from './invite-link.ts'
import { createSession } from './session.ts'

const session = createSession(takeInvite())
// A link opened in a tab that shows this page already changes only the fragment.
addEventListener('hashchange', () => {
  if (!isInvite(location.href)) return
  keepInvite(null)
  location.reload()
})
// Said while it still can be: others need not wait for the silence.
addEventListener('pagehide', () => void session.leave())
render(<App session={session} />, document.getElementById('app') as HTMLElement)
