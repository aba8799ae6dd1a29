import { createHash, timingSafeEqual } from "node:crypto"
import * as path from "node:path"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { variable } from "../settings/environment.ts"
import { Paths } from "../settings/Paths.ts"
import { Settings } from "../settings/Settings.ts"
import { systemProblem } from "../settings/systemProblem.ts"
import { isLoopback } from "../system/reachableUrl.ts"

const shortest = 16
const pollInterval = 1000

/** A token that is too short, or a file that should hold one and cannot be read. */
export class TokenError extends Schema.TaggedError<TokenError>()("TokenError", {
  source: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The token from ${this.source} cannot be used: ${this.reason}`
  }
}

/** A daemon was to listen beyond this machine, and anybody could have driven it. */
export class InsecureBind extends Schema.TaggedError<InsecureBind>()("BindRefused", { host: Schema.String }) {
  override get message() {
    return `Refusing to listen on ${this.host} without a token: set RBEE_TOKEN or --token-file (at least ${shortest} characters), or listen on 127.0.0.1`
  }
}

/** The setting `auth.loopback` closes loopback, but the daemon has no token with which a client could open it. */
export class TokenMissing extends Schema.TaggedError<TokenMissing>()("TokenMissing", {
  file: Schema.String
}) {
  override get message() {
    return `auth.loopback is 'token', and there is no token: write one of at least ${shortest} characters to ${this.file}, or set RBEE_TOKEN or --token-file; or set auth.loopback to 'open'`
  }
}

/** The bearer token of this machine's daemons, if there is one, and those of the hives. */
export class Token extends Context.Service<
  Token,
  {
    readonly own: Option.Option<Redacted.Redacted<string>>
    /** Where it is looked for when neither `--token-file` nor `RBEE_TOKEN` is given. */
    readonly file: string
    /** Whether a credential is the token; always, when there is none. Takes the same time for all. */
    readonly accepts: (credential: string) => boolean
    /** The token for a hive: its own, as of at most a second ago, else this machine's. */
    readonly forHive: (alias: string) => Effect.Effect<Redacted.Redacted<string> | undefined>
  }
>()("rbee/access/Token") {
  /** From the file, else `RBEE_TOKEN`, else `config/token`; those of the hives from `config/tokens/<alias>`. */
  static readonly layerWith = (tokenFile: string | undefined) =>
    Layer.effect(
      Token,
      Effect.suspend(() => make(tokenFile))
    )

  static readonly layer = this.layerWith(undefined)

  /** Without a token, or with the given one for all: for tests and for applications. */
  static readonly layerMemory = (token?: string) =>
    Layer.succeed(
      Token,
      Token.of({
        own: Option.map(Option.fromUndefinedOr(token), (value) => Redacted.make(value)),
        file: "config/token",
        accepts: acceptor(token),
        forHive: () => Effect.succeed(token === undefined ? undefined : Redacted.make(token))
      })
    )
}

const digest = (text: string) => createHash("sha256").update(text).digest()

/** The first eight hexadecimal digits of a token's SHA-256: what a log may show of it. */
export const fingerprint = (token: Redacted.Redacted<string>) =>
  digest(Redacted.value(token)).toString("hex").slice(0, 8)

// Hashes have one length, so that the comparison tells nothing of the token's.
const acceptor = (token: string | undefined) => {
  if (token === undefined) return () => true
  const expected = digest(token)
  return (credential: string) => timingSafeEqual(digest(credential), expected)
}

/** Refuses to listen without a token: beyond loopback, and on loopback too where `auth.loopback` is `token`. */
export const checkBind = Effect.fn("Token.checkBind")(function* (host: string) {
  const { file, own } = yield* Token
  const { auth } = yield* Settings
  if (Option.isSome(own)) return
  if (!isLoopback(host)) return yield* new InsecureBind({ host })
  if (auth.loopback === "token") return yield* new TokenMissing({ file })
})

const make = Effect.fnUntraced(function* (tokenFile: string | undefined) {
  const fs = yield* FileSystem.FileSystem
  const { config } = yield* Paths

  const fromFile = (file: string) =>
    fs.readFileString(file).pipe(
      Effect.map((content) => Option.some({ source: file, token: content.trim() })),
      Effect.catch((error) =>
        error.reason._tag === "NotFound"
          ? Effect.succeedNone
          : Effect.fail(new TokenError({ source: file, reason: systemProblem(error) }))
      )
    )

  const checked = (found: { readonly source: string; readonly token: string }) =>
    found.token.length >= shortest && /^[\u0021-\u007e]+$/.test(found.token)
      ? Effect.succeed(found.token)
      : Effect.fail(
          new TokenError({
            source: found.source,
            reason: `it must have at least ${shortest} visible ASCII characters and no spaces`
          })
        )

  const find = Effect.gen(function* () {
    if (tokenFile !== undefined) {
      const given = yield* fromFile(tokenFile)
      if (Option.isSome(given)) return given
      return yield* new TokenError({ source: tokenFile, reason: "there is no such file" })
    }
    const fromVariable = yield* variable("RBEE_TOKEN")
    if (Option.isSome(fromVariable)) return Option.some({ source: "RBEE_TOKEN", token: fromVariable.value })
    return yield* fromFile(path.join(config, "token"))
  })

  const found = yield* find
  const token = Option.isSome(found) ? yield* checked(found.value) : undefined
  const own = Option.map(Option.fromUndefinedOr(token), (value) => Redacted.make(value))

  const clock = yield* Clock.Clock
  const looks = new Map<
    string,
    { readonly at: number; readonly token: Redacted.Redacted<string> | undefined }
  >()

  const look = (alias: string) =>
    fromFile(path.join(config, "tokens", alias)).pipe(
      Effect.orElseSucceed(() => Option.none<{ readonly token: string }>()),
      Effect.map((given) => {
        const token = Option.getOrUndefined(
          Option.isSome(given) ? Option.some(Redacted.make(given.value.token)) : own
        )
        looks.set(alias, { at: clock.currentTimeMillisUnsafe(), token })
        return token
      })
    )

  return Token.of({
    own,
    file: path.join(config, "token"),
    accepts: acceptor(token),
    forHive: (alias) =>
      Effect.suspend(() => {
        const known = looks.get(alias)
        // Either way: the clock may be set back.
        return known !== undefined && Math.abs(clock.currentTimeMillisUnsafe() - known.at) < pollInterval
          ? Effect.succeed(known.token)
          : look(alias)
      })
  })
})
