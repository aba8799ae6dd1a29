import { createHash } from "node:crypto"
import { bytesAt, type Content, serveFile, server } from "./fileServer.ts"
import { smallModel, writeGguf } from "./ggufWriter.ts"

const block = 1024 * 1024

/** A usable model of any size: a small one with weights that nobody reads. Each MiB of it begins with its number. */
export const bigModel = (size: number): Content & { readonly sha256: string } => {
  const header = writeGguf(smallModel)
  const noise = bytesAt(0, block)
  const slice = (from: number, to: number) => {
    const start = from % block
    if (from >= header.length && start >= 8 && start + (to - from) <= block)
      return noise.subarray(start, start + to - from)
    const bytes = Buffer.allocUnsafe(to - from)
    for (let at = from; at < to;) {
      const end = Math.min(to, at - (at % block) + block)
      noise.copy(bytes, at - from, at % block, (at % block) + end - at)
      const first = at - (at % block)
      const number = Buffer.alloc(8)
      number.writeBigUInt64LE(BigInt(first / block))
      for (let i = at; i < Math.min(first + 8, end); i++) bytes[i - from] = number[i - first] ?? 0
      at = end
    }
    if (from < header.length) header.copy(bytes, 0, from, Math.min(to, header.length))
    return bytes
  }
  const hash = createHash("sha256")
  for (let at = 0; at < size; at += block) hash.update(slice(at, Math.min(size, at + block)))
  return { size, slice, sha256: hash.digest("hex") }
}

const revision = "89abcdef"

/** A Hugging Face hub with one repository, `acme/big`, of one file. */
export const bigModelHub = (
  model: ReturnType<typeof bigModel>,
  gate: () => number = () => Number.MAX_SAFE_INTEGER
) => {
  const sent = { total: 0 }
  return server((request, response, seen) => {
    if (request.url?.startsWith("/api/models/acme/big") === true) {
      const siblings = [
        { rfilename: "big-q8_0.gguf", size: model.size, lfs: { sha256: model.sha256, size: model.size } }
      ]
      return void response.end(JSON.stringify({ sha: revision, siblings }))
    }
    if (request.url !== `/acme/big/resolve/${revision}/big-q8_0.gguf`)
      return void response.writeHead(404).end()
    const before = { sent: 0 }
    const counted = {
      ...seen,
      get sent() {
        return seen.sent
      },
      set sent(value: number) {
        sent.total += value - before.sent
        before.sent = value
        seen.sent = value
      }
    }
    serveFile(request, response, { content: model, etag: '"big"', gate }, counted, () => sent.total)
  })
}
