import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { partsOf } from "../gguf/splitFiles.ts"
import { chooseFile } from "../models/Quantisation.ts"
import type { Fetcher } from "./Fetcher.ts"
import { checkFileName } from "./FileName.ts"
import type { Access, RemoteFile, RemoteModel } from "./RemoteModel.ts"
import { NoSuchFile } from "./SourceErrors.ts"

const Bytes = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Sha256 = Schema.String.check(Schema.isPattern(/^[0-9a-fA-F]{64}$/))

/**
 * The response of `GET /api/models/{repo}?blobs=true` (Hub API, huggingface.co/docs/hub/api; the fields as in `ModelInfo` of
 * huggingface_hub's `hf_api.py`): the newest revision, and its files with their sizes; for a large file the SHA-256 of its
 * content, which older servers call `oid`.
 */
const Repository = Schema.Struct({
  sha: Schema.String.check(Schema.isPattern(/^[0-9a-f]{7,64}$/)),
  siblings: Schema.Array(
    Schema.Struct({
      rfilename: Schema.String,
      size: Schema.optionalKey(Schema.NullOr(Bytes)),
      lfs: Schema.optionalKey(
        Schema.NullOr(
          Schema.Struct({
            sha256: Schema.optionalKey(Sha256),
            oid: Schema.optionalKey(Sha256),
            size: Schema.optionalKey(Bytes)
          })
        )
      )
    })
  )
})

/** The URL of the hub, and the token for it. */
export interface Hub {
  readonly endpoint: string
  readonly token: Redacted.Redacted<string> | undefined
  readonly mayBePrivate: boolean
}

const encodedPath = (path: string) => path.split("/").map(encodeURIComponent).join("/")

/** Finds a model's files in a repository of the Hugging Face hub, at its newest revision. */
export const resolve = Effect.fn("HuggingFace.resolve")(function* (
  fetcher: Fetcher["Service"],
  hub: Hub,
  repo: string,
  variant: string | undefined
) {
  const access: Access = { token: hub.token, mayBePrivate: hub.mayBePrivate }
  const url = `${hub.endpoint}/api/models/${encodedPath(repo)}?blobs=true`
  const { sha, siblings } = yield* fetcher.json({ url, access }, Repository)
  const model = `hf:${repo}`
  const files = new Map(siblings.map((file) => [file.rfilename, file]))
  const chosen = chooseFile([...files.keys()], variant)
  if (chosen === undefined) {
    const wanted = variant === undefined ? "GGUF file of a model" : `GGUF file '${variant}'`
    return yield* NoSuchFile.among(model, wanted, [...files.keys()])
  }

  const fileOf = Effect.fnUntraced(function* (path: string) {
    const listed = files.get(path)
    if (listed === undefined) return yield* NoSuchFile.among(model, `'${path}'`, [...files.keys()])
    const file: RemoteFile = {
      url: `${hub.endpoint}/${encodedPath(repo)}/resolve/${sha}/${encodedPath(path)}`,
      access,
      name: yield* checkFileName(model, path),
      size: listed.lfs?.size ?? listed.size ?? undefined,
      sha256: (listed.lfs?.sha256 ?? listed.lfs?.oid)?.toLowerCase()
    }
    return file
  })
  const [first, ...others] = partsOf(chosen)
  const found: RemoteModel = {
    folder: `hf/${repo}`,
    from: `${hub.endpoint}/${repo} at ${sha.slice(0, 12)}`,
    files: [yield* fileOf(first), ...(yield* Effect.forEach(others, fileOf))]
  }
  return found
})
