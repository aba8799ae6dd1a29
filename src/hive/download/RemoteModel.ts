import type * as Redacted from "effect/Redacted"
import type { ModelDefinition } from "../../operation/CreatedModel.ts"

/** The access options of requests for a file. */
export interface Access {
  /** A bearer token, sent only to the origin of the first URL. */
  readonly token?: Redacted.Redacted<string> | undefined
  /** Whether the owner configured the server; it and its redirects may then have private addresses. */
  readonly mayBePrivate: boolean
}

/** A file on a server, as announced before it is fetched. */
export interface RemoteFile {
  readonly url: string
  readonly access: Access
  /** A relative path below the model's folder without `..`, such as `tiny-q4_k_m.gguf`. */
  readonly name: string
  /** In bytes. */
  readonly size?: number | undefined
  /** In lower-case hexadecimal. */
  readonly sha256?: string | undefined
}

/** A model on a server: its files in order; workers load the first. */
export interface RemoteModel {
  /** The model's folder below the models folder: `hf/org/repo`, `ollama/llama3.2`, `https/host`. */
  readonly folder: string
  /** The server and the revision for people, such as `https://huggingface.co/org/repo at 1a2b3c`. */
  readonly from: string
  readonly files: readonly [RemoteFile, ...ReadonlyArray<RemoteFile>]
  /** Defaults from the source: parameters and a system prompt. */
  readonly defaults?: ModelDefinition | undefined
  /** Messages about parts of the source that are not used. */
  readonly notes?: ReadonlyArray<string> | undefined
}
