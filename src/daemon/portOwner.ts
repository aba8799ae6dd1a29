import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Paths } from "../settings/Paths.ts"
import { PidFile } from "../system/PidFile.ts"
import { reachableUrl } from "../system/reachableUrl.ts"

/** The program that listens on a port, and how to stop it, as parts of an error message. */
export interface PortOwner {
  readonly who: string
  readonly stop: string
}

const requestTimeout = "2 seconds"
const maxAnswerLength = 64_000

const BuildInfo = Schema.Struct({
  name: Schema.String.check(Schema.isPattern(/queen|hive/)),
  version: Schema.String.check(Schema.isPattern(/^[\w.+-]{1,64}$/)),
  pid: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0)))
})
const readBuildInfo = Schema.decodeUnknownOption(Schema.fromJsonString(BuildInfo))
const Capabilities = Schema.Struct({ devices: Schema.Array(Schema.Unknown) })
const readCapabilities = Schema.decodeUnknownOption(Schema.fromJsonString(Capabilities))

const elsewhere = "stop it where it was started"

const notRbee: PortOwner = { who: "a program that is not rbee", stop: "stop it" }
const silent: PortOwner = { who: "a program that does not respond like rbee", stop: "stop it" }
const guarded: PortOwner = { who: "a daemon of another rbee, which requires its token", stop: elsewhere }
const olderHive: PortOwner = { who: "a hive of an older rbee", stop: elsewhere }
const olderDaemon: PortOwner = {
  who: "a program that answers /health like an older rbee",
  stop: elsewhere
}

const portOf = (url: string) => URL.parse(url)?.port

/** The daemon of this home whose pid file has the port. */
const ownerHere = Effect.fnUntraced(function* (port: number) {
  const pidFile = yield* Effect.serviceOption(PidFile)
  const paths = yield* Effect.serviceOption(Paths)
  if (Option.isNone(pidFile)) return undefined
  for (const name of yield* pidFile.value.names) {
    const owner = (yield* pidFile.value.processes(name)).find(
      ({ pid, url }) => pid !== process.pid && portOf(url) === String(port)
    )
    if (owner === undefined) continue
    const home = Option.match(paths, { onNone: () => "", onSome: ({ state }) => `, state in ${state}` })
    const id = name.replace(/^hive-/, "")
    const [who, stop] =
      name === "queen" ? ["the queen", "queen stop"] : [`hive '${id}'`, `stop --hive-id ${id}`]
    return { who: `${who} (process ${owner.pid}${home})`, stop: `stop it with 'rbee ${stop}'` }
  }
  return undefined
})

const describe = ({ name, pid, version }: typeof BuildInfo.Type): PortOwner => {
  const kind = name.includes("queen") ? "the queen" : "a hive"
  const process = pid === undefined ? "" : `, process ${pid}`
  return {
    who: `${kind} of another rbee (version ${version}${process})`,
    stop: pid === undefined ? elsewhere : `${elsewhere}, or with 'kill ${pid}'`
  }
}

const textOf = (response: HttpClientResponse.HttpClientResponse) =>
  response.stream.pipe(
    Stream.decodeText(),
    Stream.runFold(
      () => "",
      (text, piece) => (text.length > maxAnswerLength ? text : text + piece)
    )
  )

/** Identifies the program at a port: rbee daemons report their name, older ones respond to `/health`. */
const ownerByProbe = Effect.fnUntraced(function* (url: string) {
  const http = yield* Effect.serviceOption(HttpClient.HttpClient)
  if (Option.isNone(http)) return silent
  const get = Effect.fnUntraced(function* (path: string) {
    const response = yield* http.value.get(url + path)
    const { headers, status } = response
    return { status, headers, text: yield* textOf(response) }
  })

  const info = yield* get("/v1/build-info")
  const found = info.status === 200 ? readBuildInfo(info.text) : Option.none()
  if (Option.isSome(found)) return describe(found.value)
  if (info.headers["www-authenticate"]?.includes('realm="rbee"') === true) return guarded

  const health = yield* get("/health")
  if (health.status !== 200 || health.text.trim() !== "ok") return notRbee
  for (const path of ["/v1/capabilities", "/capabilities"]) {
    const { status, text } = yield* get(path)
    if (status === 200 && Option.isSome(readCapabilities(text))) return olderHive
  }
  return olderDaemon
})

/**
 * The owner of a port that is in use: a daemon of this home according to its pid file, otherwise the program that responds
 * at the port within two seconds.
 */
export const portOwner = Effect.fnUntraced(function* (host: string, port: number) {
  const here = yield* ownerHere(port)
  if (here !== undefined) return here
  return yield* ownerByProbe(reachableUrl(host, port, true)).pipe(
    Effect.timeout(requestTimeout),
    Effect.orElseSucceed(() => silent)
  )
})
