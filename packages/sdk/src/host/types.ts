/** Options of {@link hostRoom}. */
export interface HostRoomOptions {
  /** Public name of the room. Default: made up, unguessable. */
  readonly room?: string
  /** Address to listen on. Default `127.0.0.1`: this machine only; `0.0.0.0` for the network as well. */
  readonly host?: string
  /** Default 0: any free port. */
  readonly port?: number
  /** Serve the demo page. Default `true`; without a build of it, `/` says how to make one. */
  readonly page?: boolean
  /** Folder that keeps the room's name and secret, so that invites outlive a restart. Default: not kept. */
  readonly dataDir?: string
}

/** A room's meeting point. It holds none of the room's work: links that exist outlive it. */
export interface RoomHost extends AsyncDisposable {
  /** For whoever may submit work and hold the room's state. A secret. */
  readonly memberInvite: string
  /** For whoever only lends processors. A secret. */
  readonly contributorInvite: string
  /** Where others find it, for example `http://192.168.1.7:7420`. */
  readonly url: string
  /** The same on this machine, where browsers allow more: `http://127.0.0.1:7420`. */
  readonly localUrl: string
  readonly port: number
  /** An invite with another address in it, for example `localUrl` or a name that a proxy has. */
  invite(role: 'member' | 'contributor', url: string): string
  /** Stops signalling and the page. Idempotent. */
  close(): Promise<void>
}
