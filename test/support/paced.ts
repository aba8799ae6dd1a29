import { ServerResponse } from "node:http"

const never = new Int32Array(new SharedArrayBuffer(4))

/** Has this process wait before each piece of a response that it writes, so that a test can do something meanwhile. */
export const pace = (pauseMillis: number) => {
  ServerResponse.prototype.write = new Proxy(ServerResponse.prototype.write, {
    apply: (write, response, given) => {
      Atomics.wait(never, 0, 0, pauseMillis)
      return Reflect.apply(write, response, given)
    }
  })
}
