import { expect, test } from 'vitest'

// What every browser test stands on: the test browser really runs workers and connects peers on loopback.

test('a module worker computes in the test browser', async () => {
  const source = 'onmessage = (event) => postMessage(event.data * 2)'
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }))
  const worker = new Worker(url, { type: 'module' })
  try {
    const answer = new Promise((resolve, reject) => {
      worker.onmessage = (event) => resolve(event.data)
      worker.onerror = reject
    })
    worker.postMessage(21)
    expect(await answer).toBe(42)
  } finally {
    worker.terminate()
    URL.revokeObjectURL(url)
  }
})

test('two connections of one page open a data channel on loopback', async () => {
  const [left, right] = [new RTCPeerConnection(), new RTCPeerConnection()]
  try {
    left.onicecandidate = ({ candidate }) => void right.addIceCandidate(candidate ?? undefined)
    right.onicecandidate = ({ candidate }) => void left.addIceCandidate(candidate ?? undefined)
    const channel = left.createDataChannel('test')
    const received = new Promise((resolve) => {
      right.ondatachannel = (event) => {
        event.channel.onmessage = (message) => resolve(message.data)
      }
    })
    channel.onopen = () => channel.send('hello')
    await left.setLocalDescription()
    await right.setRemoteDescription(left.localDescription as RTCSessionDescription)
    await right.setLocalDescription()
    await left.setRemoteDescription(right.localDescription as RTCSessionDescription)
    expect(await received).toBe('hello')
  } finally {
    left.close()
    right.close()
  }
})
