import type { Invite } from '@shoal/mesh'

/** Where the signalling server of an invite's room listens. */
export interface SignallingPlace {
  readonly host: string
  readonly port: number
  readonly path: string
  readonly secure: boolean
}

/** Takes the address of the signalling server out of an invite. */
export function signallingOf({ url }: Invite): SignallingPlace {
  const { hostname, port, pathname, protocol } = new URL(url)
  const secure = protocol === 'https:'
  return {
    host: hostname,
    port: port === '' ? (secure ? 443 : 80) : Number(port),
    path: pathname.endsWith('/') ? pathname : `${pathname}/`,
    secure,
  }
}
