import type { Link, LinkChannel } from '@shoal/scheduler'
import type { DataConnection } from 'peerjs'
import { INBOUND_PENDING_MAX } from './limits.ts'
import type { PendingLink } from './peerjs.link.ts'
import { followConnection } from './peerjs.link.ts'
import type { Base, OnRefused } from './peerjs.types.ts'

/** Every connection of a transport, from its first moment to its native end. */
export interface Connections {
  /** Follows a connection that was dialled here. */
  follow(connection: DataConnection, channel: LinkChannel, timeoutMs: number): Promise<Link>
  /** Follows a connection that the other side dialled. */
  accept(connection: DataConnection): void
  /** Fails what is being set up with `address`, or with everybody. */
  fail(reason: string, address?: string): void
  /** Closes each by itself: PeerJS skips every second one when it closes them. Gives their number. */
  close(): Promise<number>
  hangUp(): void
}

/** Gives what users see of a link. */
export type Wrap = (base: Base, isDialler: boolean, metadata: unknown) => Link

export function createConnections(
  dialTimeoutMs: number,
  onLink: (link: Link) => void,
  onRefused: OnRefused,
  wrap: Wrap,
): Connections {
  const pending = new Set<PendingLink>()
  const connections = new Set<PendingLink>()
  let isClosed = false
  const follow = (connection: DataConnection, channel: LinkChannel, timeoutMs: number): Promise<Base> => {
    const link = followConnection(connection, channel, timeoutMs, onRefused)
    pending.add(link)
    connections.add(link)
    const settled = (): void => {
      pending.delete(link)
    }
    link.opened.then(settled, settled)
    link.gone.then(() => connections.delete(link))
    return link.opened
  }
  const fail: Connections['fail'] = (reason, address) => {
    for (const link of [...pending])
      if (address === undefined || address === link.remoteAddress) link.fail(reason)
  }
  return {
    async follow(connection, channel, timeoutMs) {
      return wrap(await follow(connection, channel, timeoutMs), true, connection.metadata)
    },
    accept(connection) {
      if (isClosed || pending.size >= INBOUND_PENDING_MAX) {
        onRefused('E_LIMIT', `Cannot take a dial as ${pending.size} others are pending`, connection.peer)
        connection.close()
        return
      }
      // A dial that failed is the dialler's business.
      follow(connection, connection.label as LinkChannel, dialTimeoutMs).then(
        (link) => onLink(wrap(link, false, connection.metadata)),
        () => {},
      )
    },
    fail,
    async close() {
      isClosed = true
      fail('the transport is closed')
      const open = [...connections]
      const ignore = (): void => {}
      for (const { opened } of open) opened.then((link) => link.close(), ignore)
      await Promise.all(open.map(({ gone }) => gone))
      return open.length
    },
    hangUp() {
      isClosed = true
      for (const link of [...connections]) link.hangUp()
    },
  }
}
