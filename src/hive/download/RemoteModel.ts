import type * as Redacted from "effect/Redacted"
import type { ModelDefinition } from "../../operation/CreatedModel.ts"

/** What goes with the requests for a file. */
export interface Access {
  /** A bearer token; it is sent to the origin of the first URL and to no other. */
  readonly token?: Redacted.Redacted<string> | undefined
  /** Whether the owner set the server, so that it, and where it redirects to, may have a private address. */
  readonly mayBePrivate: boolean
}

/** A file on a server, and what is known of it before it is fetched. */
export interface RemoteFile {
  readonly url: string
  readonly access: Access
  /** The file's name below the model's folder, such as `tiny-q4_k_m.gguf`; it has no `..` and is not absolute. */
  readonly name: string
  /** Bytes. */
  readonly size?: number | undefined
  /** In hexadecimal, lower case. */
  readonly sha256?: string | undefined
}

/** A model on a server: its files in order, of which the first is the one that is loaded. */
export interface RemoteModel {
  /** Where the files belong, below the models folder: `hf/org/repo`, `ollama/llama3.2`, `https/host`. */
  readonly folder: string
  /** For a person: the server and the revision, such as `https://huggingface.co/org/repo at 1a2b3c`. */
  readonly from: string
  readonly files: readonly [RemoteFile, ...ReadonlyArray<RemoteFile>]
  /** What its source adds to the files: parameters and a system prompt. */
  readonly defaults?: ModelDefinition | undefined
  /** Sentences about what of the source is not used. */
  readonly notes?: ReadonlyArray<string> | undefined
}
