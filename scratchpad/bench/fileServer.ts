// The server of the download benchmark: serves one file, with ranges. It runs without Effect, because the large buffers make
// V8 mark the complete heap repeatedly, and a larger heap would take CPU time from the client.
import { createReadStream, statSync } from "node:fs"
import { createServer } from "node:http"

const [file = "", port = ""] = process.argv.slice(2)
const { size } = statSync(file)

createServer((request, response) => {
  const [, from = "0", to = String(size - 1)] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? []
  const [start, end] = [Number(from), Number(to)]
  response.writeHead(request.headers.range === undefined ? 200 : 206, {
    etag: '"bench"',
    "content-length": end - start + 1,
    "content-range": `bytes ${start}-${end}/${size}`
  })
  createReadStream(file, { start, end, highWaterMark: 1024 * 1024 }).pipe(response)
}).listen(Number(port), "127.0.0.1", () => process.send?.("ready"))
