import type { IncomingMessage, ServerResponse } from "node:http"
import { Effect } from "effect"
import { type Content, type Misbehave, type Seen, serveFile, server, sha256Of } from "./fileServer.ts"

/** A file of a repository. What is told of it may be a lie. */
export interface HubFile {
  readonly content: Content
  /** How its checksum is told; `none` is a small file, which comes without one and from the hub itself. */
  readonly lfs?: "none" | "oid" | "sha256"
  readonly announced?: { readonly size?: number; readonly sha256?: string }
}

/** A repository of the Hugging Face hub. */
export interface Repository {
  readonly revision?: string
  readonly files: Readonly<Record<string, HubFile>>
  /** Who has not this token gets 401 for the files. */
  readonly token?: string
  /** Whether the token is asked for by the listing too. */
  readonly hidden?: boolean
}

/** A model of the Ollama registry, with layers besides that of the model. */
export interface OllamaModel {
  readonly content?: Content
  readonly others?: ReadonlyArray<{
    readonly mediaType: string
    readonly digest: string
    readonly size: number
    /** Served as the blob of the digest. */
    readonly content?: Content
  }>
}

export interface ModelHubsOptions {
  /** By `org/repo`. */
  readonly repositories?: Readonly<Record<string, Repository>>
  /** By `namespace/name:tag`. */
  readonly ollama?: Readonly<Record<string, OllamaModel>>
  /** Looks at each request to the hub and the registry first; true when it has answered it. */
  readonly misbehave?: Misbehave
  /** The same for the server that the files come from. */
  readonly misbehaveCdn?: Misbehave
}

export const revision = "0123456789abcdef0123456789abcdef01234567"

/** Text as the content of a file. */
export const textFile = (text: string): Content => {
  const bytes = Buffer.from(text)
  return { size: bytes.length, slice: (from, to) => bytes.subarray(from, to) }
}

const checksum = (content: Content) => sha256Of(content.slice(0, content.size))

const json = (response: ServerResponse, status: number, body: unknown) =>
  void response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))

const listing = (name: string, repository: Repository, withBlobs: boolean) => ({
  id: name,
  sha: repository.revision ?? revision,
  private: repository.hidden ?? false,
  gated: repository.token === undefined ? false : "manual",
  siblings: Object.entries(repository.files).map(([rfilename, { announced, content, lfs = "sha256" }]) => {
    if (!withBlobs) return { rfilename }
    const size = announced?.size ?? content.size
    const sha256 = announced?.sha256 ?? checksum(content)
    return { rfilename, size, lfs: lfs === "none" ? undefined : { [lfs]: sha256, size, pointerSize: 134 } }
  })
})

const manifest = ({ content, others = [] }: OllamaModel) => ({
  schemaVersion: 2,
  mediaType: "application/vnd.docker.distribution.manifest.v2+json",
  config: { mediaType: "application/vnd.docker.container.image.v1+json", digest: "sha256:0", size: 2 },
  layers: [
    ...others.map(({ digest, mediaType, size }) => ({ mediaType, digest, size })),
    ...(content === undefined
      ? []
      : [
          {
            mediaType: "application/vnd.ollama.image.model",
            digest: `sha256:${checksum(content)}`,
            size: content.size
          }
        ])
  ]
})

/** A small layer of a model of the Ollama registry, such as `params`. */
export const ollamaLayer = (name: string, text: string) => {
  const content = textFile(text)
  return {
    mediaType: `application/vnd.ollama.image.${name}`,
    digest: `sha256:${checksum(content)}`,
    size: content.size,
    content
  }
}

/**
 * A server of models on loopback that speaks as the Hugging Face hub and as the Ollama registry, and beside it the one,
 * on a port of its own, that the files come from, by ranges if asked. Redirects to it are signed: it answers 403 to a link
 * without the signature.
 */
export const modelHubs = Effect.fnUntraced(function* (options: ModelHubsOptions) {
  const { misbehave, misbehaveCdn, ollama = {}, repositories = {} } = options
  const blobs = new Map<string, Content>()
  for (const { files } of Object.values(repositories)) {
    for (const { content } of Object.values(files)) blobs.set(checksum(content), content)
  }
  for (const { content, others = [] } of Object.values(ollama)) {
    if (content !== undefined) blobs.set(checksum(content), content)
    for (const other of others) {
      if (other.content !== undefined) blobs.set(other.digest.replace("sha256:", ""), other.content)
    }
  }

  const cdn = yield* server((request, response, seen, count) => {
    if (misbehaveCdn?.(request, response, seen, count) === true) return
    const url = new URL(request.url ?? "", "http://cdn")
    const content = blobs.get(url.pathname.slice(1))
    if (content === undefined) return json(response, 404, { error: "not found" })
    if (url.searchParams.get("signature") !== "secret") return json(response, 403, { error: "not signed" })
    serveFile(request, response, { content, etag: `"${url.pathname.slice(1)}"` }, seen)
  })
  const toCdn = (response: ServerResponse, status: 302 | 307, sha256: string, headers = {}) =>
    void response.writeHead(status, { ...headers, location: `${cdn.url}/${sha256}?signature=secret` }).end()

  const answerHub = (request: IncomingMessage, response: ServerResponse, path: string, seen: Seen) => {
    const listed = /^\/api\/models\/([^/]+\/[^/]+)$/.exec(path)
    const wanted = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path)
    const name = listed?.[1] ?? wanted?.[1] ?? ""
    const repository = repositories[name]
    if (repository === undefined) return json(response, 404, { error: "Repository not found" })
    const { files, hidden = false, token } = repository
    const allowed = token === undefined || seen.authorization === `Bearer ${token}`
    if (!allowed && (wanted !== null || hidden)) {
      return json(response, 401, { error: `Access to model ${name} is restricted` })
    }
    if (wanted === null)
      return json(response, 200, listing(name, repository, seen.url.endsWith("?blobs=true")))
    const file = wanted[2] === (repository.revision ?? revision) ? files[wanted[3] ?? ""] : undefined
    if (file === undefined) return json(response, 404, { error: "Entry not found" })
    const sha256 = checksum(file.content)
    if (file.lfs === "none") {
      return serveFile(request, response, { content: file.content, etag: `"${sha256}"` }, seen)
    }
    toCdn(response, 302, sha256, { "x-linked-size": file.content.size, "x-linked-etag": `"${sha256}"` })
  }

  const answerRegistry = (request: IncomingMessage, response: ServerResponse, path: string) => {
    const [, name, kind, reference = ""] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(path) ?? []
    const model = ollama[`${name}:${reference}`]
    if (kind === "manifests" && model !== undefined) {
      const accepts = request.headers.accept === "application/vnd.docker.distribution.manifest.v2+json"
      return accepts ? json(response, 200, manifest(model)) : json(response, 406, { errors: [] })
    }
    const sha256 = reference.replace("sha256:", "")
    return kind === "blobs" && blobs.has(sha256)
      ? toCdn(response, 307, sha256)
      : json(response, 404, { errors: [{ code: "MANIFEST_UNKNOWN" }] })
  }

  const hub = yield* server((request, response, seen, count) => {
    if (misbehave?.(request, response, seen, count) === true) return
    const path = decodeURIComponent(new URL(request.url ?? "", "http://hub").pathname)
    if (path.startsWith("/v2/")) answerRegistry(request, response, path)
    else answerHub(request, response, path, seen)
  })
  return { hub, cdn, settings: { hfEndpoint: hub.url, ollamaRegistry: hub.url } }
})
