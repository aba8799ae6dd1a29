import * as Effect from "effect/Effect"
import { BadInput } from "./errors.ts"

const limit = 16_000_000

const readAll = async () => {
  const chunks: Array<Buffer> = []
  let size = 0
  for await (const chunk of process.stdin) {
    const bytes = Buffer.from(chunk)
    size += bytes.length
    if (size > limit) throw new BadInput({ message: `Standard input exceeds ${limit} bytes` })
    chunks.push(bytes)
  }
  return Buffer.concat(chunks).toString()
}

/** Reads standard input to its end, at most 16 MB. */
export const readInput = Effect.tryPromise({
  try: readAll,
  catch: (cause) =>
    cause instanceof BadInput ? cause : new BadInput({ message: "Cannot read standard input" })
})
