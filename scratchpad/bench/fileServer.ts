// The server of the download benchmark: serves one file, with ranges. A process without Effect, since the large buffers
// of a file make V8 mark the whole heap again and again, and on two cores that is time which the client lacks.
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
