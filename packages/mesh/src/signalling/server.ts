import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { ShoalError } from '@shoal/scheduler'
import { PeerServer } from 'peer'
import { WebSocketServer } from 'ws'
import { isRoomName, roomOf } from '../transport/address.ts'
import { bracketed } from '../transport/peerjs.session.ts'
import type { OnRefused } from '../transport/peerjs.types.ts'
import type { Clients } from './clients.ts'
import { createClients, GuardedSocket } from './clients.ts'
import type { SignallingLimits } from './limits.ts'
import { EXPIRE_TIMEOUT_MS, SIGNALLING_LIMITS } from './limits.ts'
import { withStoppableTimers } from './timers.ts'

/** How to run a signalling server. */
export interface SignallingOptions {
  /** Where to listen. Default `127.0.0.1`: this machine only. */
  readonly host?: string
  /** Default 0: any free port. */
  readonly port?: number
  /** Path prefix, with a slash at both ends. Default `/`. */
  readonly path?: string
  readonly limits?: Partial<SignallingLimits>
  /** Answers other HTTP requests, the demo page for instance. `false`: not its business. */
  readonly serve?: (request: IncomingMessage, response: ServerResponse) => boolean
  readonly onRefused?: OnRefused
}

/** A running signalling server: it introduces the peers of a room, and carries nothing else. */
export interface SignallingServer {
  readonly host: string
  readonly port: number
  /** For example `http://127.0.0.1:7420/`. */
  readonly url: string
  /** Addresses that are registered in `room`. */
  addresses(room: string): readonly string[]
  /** Ends every socket; links between peers live on. Idempotent. */
  close(): Promise<void>
}

/**
 * Starts a PeerJS-compatible signalling server with limits, hints of who is in a room, and a listing at
 * `GET <path>shoal/rooms/<room>`. Room names are its only secret: nobody can list them.
 * @throws ShoalError `E_LISTEN` when it cannot listen there
 */
export async function startSignalling(options: SignallingOptions = {}): Promise<SignallingServer> {
  const { host = '127.0.0.1', port = 0, path = '/' } = options
  const limits = { ...SIGNALLING_LIMITS, ...options.limits }
  const refuse = (code: string, from: string): void =>
    options.onRefused?.(code, 'Cannot take a signalling message', from)
  const clients = createClients(limits, refuse)
  const sockets = new Set<WebSocketServer>()
  const timers = withStoppableTimers()
  const server = await new Promise<Server>((resolve, reject) => {
    const app = timers.run(() =>
      PeerServer(
        {
          host,
          port,
          path,
          allow_discovery: false,
          expire_timeout: EXPIRE_TIMEOUT_MS,
          concurrent_limit: limits.clientsMax,
          createWebSocketServer: (config) => {
            const socketServer = createSocketServer({ ...config }, limits, clients, refuse)
            sockets.add(socketServer)
            return socketServer
          },
        },
        (http) => resolve(http as Server),
      ),
    )
    app.on('error', (error: Error) => reject(listenError(host, port, error)))
  }).catch((error: unknown) => {
    timers.stop()
    throw error
  })
  // A page opens a handful of connections beside its socket.
  server.maxConnections = limits.clientsMax * 4
  // Only the socket of the PeerJS server is needed, none of its HTTP.
  server.removeAllListeners('request')
  server.on('request', (request, response) => answer(request, response, path, clients, options.serve))
  const address = server.address()
  const actual = typeof address === 'object' && address !== null ? address.port : port
  let closing: Promise<void> | null = null
  const close = async (): Promise<void> => {
    timers.stop()
    for (const socketServer of sockets) {
      for (const socket of socketServer.clients) socket.terminate()
      socketServer.close()
    }
    server.closeAllConnections()
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }
  return {
    host,
    port: actual,
    url: `http://${bracketed(host)}:${actual}${path}`,
    addresses: clients.addresses,
    close() {
      closing ??= close()
      return closing
    },
  }
}

function createSocketServer(
  config: object,
  limits: SignallingLimits,
  clients: Clients,
  refuse: (code: string, from: string) => void,
): WebSocketServer {
  const perAddress = new Map<string, number>()
  const count = (remote: string, change: number): void => {
    const next = (perAddress.get(remote) ?? 0) + change
    if (next > 0) perAddress.set(remote, next)
    else perAddress.delete(remote)
  }
  const server: WebSocketServer = new WebSocketServer({
    ...config,
    WebSocket: GuardedSocket,
    maxPayload: limits.messageBytesMax,
    perMessageDeflate: false,
    verifyClient: ({ req }, answerClient) => {
      const remote = req.socket.remoteAddress ?? ''
      const { id } = parametersOf(req)
      const isFull =
        server.clients.size >= limits.clientsMax ||
        (perAddress.get(remote) ?? 0) >= limits.clientsPerAddressMax
      if (isFull) refuse('E_LIMIT', remote)
      if (isFull) return answerClient(false, 503, 'Too many connections')
      if (roomOf(id) === null) return answerClient(false, 400, 'Malformed address')
      answerClient(true)
    },
  })
  server.on('connection', (socket, request) => {
    const remote = request.socket.remoteAddress ?? ''
    count(remote, 1)
    socket.on('close', () => count(remote, -1))
    socket.on('error', () => refuse('E_SIGNAL', remote))
    const { id, token } = parametersOf(request)
    // Without a token the PeerJS server turns it away.
    if (token !== '') clients.register(socket as GuardedSocket, id, token)
  })
  return server
}

function parametersOf(request: IncomingMessage): { readonly id: string; readonly token: string } {
  const { searchParams } = new URL(request.url ?? '/', 'http://localhost')
  return { id: searchParams.get('id') ?? '', token: searchParams.get('token') ?? '' }
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  clients: Clients,
  serve: SignallingOptions['serve'],
): void {
  try {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const prefix = `${path}shoal/rooms/`
    const room = pathname.startsWith(prefix) ? pathname.slice(prefix.length) : null
    if (room !== null && request.method === 'GET' && isRoomName(room)) {
      sendJson(response, { addresses: clients.addresses(room) })
    } else if (room !== null || !serve?.(request, response)) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('Not found\n')
    }
  } catch {
    if (!response.headersSent) response.writeHead(500)
    response.end()
  }
}

function sendJson(response: ServerResponse, body: unknown): void {
  const headers = {
    'content-type': 'application/json',
    'cache-control': 'no-store',
    // A page of any origin may hold an invite to this room.
    'access-control-allow-origin': '*',
  }
  response.writeHead(200, headers).end(JSON.stringify(body))
}

function listenError(host: string, port: number, cause: Error): ShoalError {
  return new ShoalError('E_LISTEN', `Cannot listen on ${host} port ${port}: ${cause.message}`, {
    cause,
    data: { host, port },
  })
}
