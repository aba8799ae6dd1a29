import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Fetcher } from "./Fetcher.ts"
import { readDefaults } from "./OllamaDefaults.ts"
import type { Access, RemoteModel } from "./RemoteModel.ts"
import { NoSuchFile } from "./SourceErrors.ts"

const manifestType = "application/vnd.docker.distribution.manifest.v2+json"
const ownNamespace = "library"
const modelLayer = "application/vnd.ollama.image.model"

/**
 * A manifest of the registry, which is that of container images (OCI distribution specification, "Pulling manifests"); the
 * media types are those of Ollama (its package `server/internal/manifest`). Adapters and projectors have types of their own
 * and are skipped.
 */
const Manifest = Schema.Struct({
  layers: Schema.Array(
    Schema.Struct({
      mediaType: Schema.String,
      digest: Schema.String.check(Schema.isPattern(/^sha256:[0-9a-f]{64}$/)),
      size: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
    })
  )
})

/** Finds a model's file in a registry of Ollama. `name` may have a namespace; without one it is `library`. */
export const resolve = Effect.fn("OllamaRegistry.resolve")(function* (
  fetcher: Fetcher["Service"],
  registry: { readonly url: string; readonly mayBePrivate: boolean },
  name: string,
  tag: string
) {
  const access: Access = { mayBePrivate: registry.mayBePrivate }
  const repository = `${registry.url}/v2/${name.includes("/") ? name : `${ownNamespace}/${name}`}`
  const { layers } = yield* fetcher.json(
    { url: `${repository}/manifests/${tag}`, access, headers: { accept: manifestType } },
    Manifest
  )
  const layer = layers.find(({ mediaType }) => mediaType === modelLayer)
  if (layer === undefined) {
    const types = new Set(layers.map(({ mediaType }) => mediaType))
    return yield* NoSuchFile.among(`ollama:${name}:${tag}`, `layer of the type ${modelLayer}`, [...types])
  }
  const { definition, notes } = yield* readDefaults(fetcher, repository, access, layers)
  const model: RemoteModel = {
    folder: `ollama/${name.replace(new RegExp(`^${ownNamespace}/`), "")}`,
    from: `${repository}:${tag} at ${layer.digest.slice(0, "sha256:".length + 12)}`,
    files: [
      {
        url: `${repository}/blobs/${layer.digest}`,
        access,
        name: `${tag}.gguf`,
        size: layer.size,
        sha256: layer.digest.slice("sha256:".length)
      }
    ],
    ...(Object.keys(definition).length === 0 ? {} : { defaults: definition }),
    ...(notes.length === 0 ? {} : { notes })
  }
  return model
})
