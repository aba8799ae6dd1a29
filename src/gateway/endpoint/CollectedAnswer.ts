import { isEnd, type LoggedEvent } from "../../job/log/JobEvent.ts"
import type { TokenMeter } from "../keys/TokenMeter.ts"
import { mergeEmbeddings } from "./embeddings.ts"
import { endFailure } from "./endFailure.ts"
import type { Body } from "./Endpoint.ts"
import type { GatewayError } from "./GatewayError.ts"

/** The events of an answer that is sent to the client when it is complete. */
export class CollectedAnswer {
  readonly #meter: TokenMeter
  readonly #chunks: Array<LoggedEvent> = []
  #result: string | undefined
  #failure: GatewayError | undefined

  constructor(meter: TokenMeter) {
    this.#meter = meter
  }

  add(events: ReadonlyArray<LoggedEvent>) {
    for (const event of events) {
      if (event.kind === "chunk") {
        this.#meter.note(event.json)
        this.#chunks.push(event)
      } else if (event.kind === "result") {
        this.#meter.note(event.json)
        this.#result = event.json
      } else if (isEnd(event.kind)) this.#failure = endFailure(event)
    }
  }

  /** Why the job failed; undefined if it is done or still running. */
  get failure() {
    return this.#failure
  }

  /** The data of the chunks with an id above `id`. */
  chunksAfter(id: number): ReadonlyArray<string> {
    return this.#chunks.filter((chunk) => chunk.id > id).map(({ json }) => json)
  }

  /**
   * The engine's document: the job's result, or the chunks with an id above `id`, each of which holds embeddings of a part
   * of the request's inputs. Undefined if a part is invalid.
   */
  documentAfter(id: number, request: Body): string | undefined {
    if (this.#result !== undefined) return this.#result
    const merged = mergeEmbeddings(this.chunksAfter(id), request)
    // The usage of a divided request is that of the merged document.
    if (merged !== undefined) this.#meter.note(merged)
    return merged
  }
}
