import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { variable } from "../../settings/environment.ts"
import { Settings } from "../../settings/Settings.ts"
import * as ModelId from "../models/ModelId.ts"
import { type FetchError, withoutQuery } from "./errors.ts"
import { Fetcher } from "./Fetcher.ts"
import { checkFileName } from "./FileName.ts"
import * as HuggingFace from "./HuggingFace.ts"
import * as OllamaRegistry from "./OllamaRegistry.ts"
import type { RemoteModel } from "./RemoteModel.ts"
import { UnsafeFileName, NotDownloadable, type SourceError } from "./SourceErrors.ts"

/** Finds the files of a model on its server. */
export class ModelSources extends Context.Service<
  ModelSources,
  {
    /** Queries the server that the id names. */
    readonly resolve: (id: ModelId.ModelId) => Effect.Effect<RemoteModel, FetchError | SourceError>
  }
>()("rbee/hive/download/ModelSources") {
  static readonly layerNoDeps = Layer.effect(
    ModelSources,
    Effect.suspend(() => make)
  )
}

const publicHub = "https://huggingface.co"
const publicRegistry = "https://registry.ollama.ai"

const fromUrl = Effect.fnUntraced(function* (text: string) {
  const url = new URL(text)
  const [name = ""] = url.pathname.split("/").slice(-1)
  const decoded = yield* Effect.orElseSucceed(
    Effect.try(() => decodeURIComponent(name)),
    () => ""
  )
  const sanitized = withoutQuery(url.href)
  if (!decoded.endsWith(".gguf")) {
    const reason = "its path does not end in .gguf; take the address of the file itself"
    return yield* new NotDownloadable({ model: sanitized, reason })
  }
  if (decoded.includes("/")) return yield* new UnsafeFileName({ model: sanitized, name: decoded })
  const file = yield* checkFileName(sanitized, decoded)
  const folder = url.pathname
    .split("/")
    .slice(1, -1)
    .map((part) => part.replace(/[^A-Za-z0-9._-]/g, "_"))
  const model: RemoteModel = {
    folder: ["https", url.host.replace(":", "_"), ...folder].join("/"),
    from: sanitized,
    files: [{ url: url.href, access: { mayBePrivate: false }, name: file }]
  }
  return model
})

const make = Effect.gen(function* () {
  const fetcher = yield* Fetcher
  const { models } = yield* Settings
  const token = (yield* variable("HF_TOKEN")).pipe(
    Option.map((text) => text.trim()),
    Option.filter((text) => text !== ""),
    Option.map((text) => Redacted.make(text)),
    Option.getOrUndefined
  )
  // A configured server may be a mirror in the owner's network.
  const hub = { endpoint: models.hfEndpoint, token, mayBePrivate: models.hfEndpoint !== publicHub }
  const registry = { url: models.ollamaRegistry, mayBePrivate: models.ollamaRegistry !== publicRegistry }

  const here = (id: ModelId.ModelId, reason: string) =>
    Effect.fail(new NotDownloadable({ model: ModelId.format(id), reason }))

  return ModelSources.of({
    resolve: Effect.fn("ModelSources.resolve")((id: ModelId.ModelId) =>
      ModelId.ModelId.match(id, {
        Bundled: (): Effect.Effect<RemoteModel, FetchError | SourceError> =>
          here(id, "it ships with rbee, and is on every hive"),
        HuggingFace: ({ org, repo, variant }) => HuggingFace.resolve(fetcher, hub, `${org}/${repo}`, variant),
        Ollama: ({ name, tag }) => OllamaRegistry.resolve(fetcher, registry, name, tag ?? "latest"),
        Url: ({ url }) => fromUrl(url),
        File: () => here(id, "it is a file of this machine, and is used where it lies"),
        Name: () => here(id, "it names no source; write hf:org/repo, ollama:name or an https address")
      })
    )
  })
})
