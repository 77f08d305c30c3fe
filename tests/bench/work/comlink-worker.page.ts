import { expose } from 'comlink'
import { runOp } from '../ops.ts'

expose({ run: runOp })
