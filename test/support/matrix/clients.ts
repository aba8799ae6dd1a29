import * as http from "node:http"
import { Effect, Fiber } from "effect"
import { dataOf, openStream, textIn } from "../applications.ts"
import { ask, type Answer, parseEvents, submitTo } from "../daemon.ts"
import type { Cell } from "./Cell.ts"
import { model } from "./MatrixFleet.ts"

export type Event = ReturnType<typeof parseEvents>[number]

/** A client in the middle of its request. */
export interface Asking {
  readonly text: () => string
  /** The events of a job that `infer` follows; those of a chat come without numbers. */
  readonly events: () => ReadonlyArray<Event>
  /** Waits for the end: whether its answer came as a whole. */
  readonly end: Effect.Effect<boolean>
  readonly leave: Effect.Effect<void>
  /** Reads nothing, until it is to read on. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
}

const prompt = "It was"
const given = { model, max_tokens: 300, temperature: 0 }
const chat = { ...given, messages: [{ role: "user", content: "Tell me about the whale." }] }
const chatPath = "/v1/chat/completions"

/** After which the follower of a job tries again. */
const silenceMillis = 3_000
/** After which an application gives up. */
const patienceMillis = 6_000
const retryMillis = 50

const isEnd = ({ kind }: Event) => kind === "done" || kind === "failed" || kind === "cancelled"

/** Follows a job, and resumes after the last event whenever its connection breaks or is silent. */
class Follower {
  readonly events: Array<Event> = []
  #request: http.ClientRequest | undefined
  #response: http.IncomingMessage | undefined
  #hasLeft = false
  readonly ended: Promise<void>

  constructor(url: string, job: string) {
    this.ended = this.#follow(url, job)
  }

  async #follow(url: string, job: string) {
    while (!this.#hasLeft && !this.events.some(isEnd)) {
      await this.#read(`${url}/v1/jobs/${job}/events`)
      await new Promise((next) => setTimeout(next, retryMillis))
    }
  }

  #read(url: string) {
    return new Promise<void>((done) => {
      const after = this.events.at(-1)?.id ?? 0
      const headers = { "last-event-id": String(after) }
      const request = http.get(url, { agent: false, headers }, (response) => {
        this.#response = response
        let rest = ""
        response.setEncoding("utf8")
        response.on("data", (piece: string) => {
          const frames = (rest + piece).split("\n\n")
          rest = frames.pop() ?? ""
          this.events.push(...parseEvents(frames.map((frame) => `${frame}\n\n`).join("")))
        })
        response.on("error", () => {})
      })
      request.setTimeout(silenceMillis, () => request.destroy())
      request.on("error", () => {})
      request.on("close", done)
      this.#request = request
    })
  }

  leave() {
    this.#hasLeft = true
    this.#request?.destroy()
  }

  pause() {
    this.#request?.setTimeout(0)
    this.#response?.pause()
  }

  resume() {
    this.#response?.resume()
  }
}

const infer = Effect.fnUntraced(function* (url: string) {
  const job = yield* submitTo(url, { operation: "infer", hive_id: "atlas", ...given, prompt })
  const follower = yield* Effect.acquireRelease(
    Effect.sync(() => new Follower(url, job)),
    (follower) => Effect.sync(() => follower.leave())
  )
  const asking: Asking = {
    events: () => follower.events,
    text: () =>
      follower.events
        .filter(({ kind }) => kind === "token")
        .map(({ json }): string => JSON.parse(json).text)
        .join(""),
    end: Effect.map(
      Effect.promise(() => follower.ended),
      () => follower.events.at(-1)?.kind === "done"
    ),
    leave: Effect.sync(() => follower.leave()),
    pause: Effect.sync(() => follower.pause()),
    resume: Effect.sync(() => follower.resume())
  }
  return asking
})

const streamedChat = Effect.fnUntraced(function* (url: string) {
  const connection = yield* openStream(url, chatPath, chat)
  connection.socket.setTimeout(patienceMillis, () => connection.socket.destroy())
  const asking: Asking = {
    events: () => [],
    text: () => textIn(dataOf(connection)),
    end: Effect.map(
      connection.until(({ closed }) => closed),
      () => dataOf(connection).at(-1) === "[DONE]"
    ),
    leave: Effect.sync(() => void connection.socket.destroy()),
    pause: Effect.sync(() => void connection.socket.pause()),
    resume: Effect.sync(() => void connection.socket.resume())
  }
  return asking
})

const wholeChat = Effect.fnUntraced(function* (url: string) {
  let answer: Answer | undefined
  const body = JSON.stringify(chat)
  const asked = yield* ask(url, { method: "POST", path: chatPath, body, within: patienceMillis }).pipe(
    Effect.sandbox,
    Effect.match({ onFailure: () => undefined, onSuccess: (came) => void (answer = came) }),
    Effect.forkChild
  )
  const asking: Asking = {
    events: () => [],
    text: () => (answer?.status === 200 ? JSON.parse(answer.text).choices[0].message.content : ""),
    end: Effect.map(Fiber.await(asked), () => answer?.status === 200),
    leave: Effect.asVoid(Fiber.interrupt(asked)),
    pause: Effect.void,
    resume: Effect.void
  }
  return asking
})

export const clients = { infer, "streamed chat": streamedChat, "whole chat": wholeChat } satisfies Record<
  Cell["client"],
  unknown
>
