import { parentPort } from 'node:worker_threads'
import { expose } from 'comlink'
import { runOp } from '../ops.ts'
import { comlinkEndpoint } from './comlink-endpoint.ts'

if (parentPort !== null) expose({ run: runOp }, comlinkEndpoint(parentPort))
