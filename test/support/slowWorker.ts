import { ServerResponse } from "node:http"

// The worker as it is, at the pace of a large model, so that a test can do something in the middle of an answer: it waits
// before each piece that it writes.
const pauseMillis = 4
const never = new Int32Array(new SharedArrayBuffer(4))

ServerResponse.prototype.write = new Proxy(ServerResponse.prototype.write, {
  apply: (write, response, given) => {
    Atomics.wait(never, 0, 0, pauseMillis)
    return Reflect.apply(write, response, given)
  }
})

await import("../../src/worker/main.ts")
