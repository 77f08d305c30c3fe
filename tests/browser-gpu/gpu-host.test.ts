import { startBrowserGpu } from '../../packages/sdk/src/processors/webgpu/gpu.browser.ts'
import { gpuHostContract } from '../support/gpu-host-contract.ts'

gpuHostContract('a GPU of a browser', startBrowserGpu)
