import { createHash, timingSafeEqual } from "node:crypto"
import * as path from "node:path"
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
import { isLoopback } from "../system/loopback.ts"
import { watchFile, type WatchedFile } from "../system/watchedFile.ts"

const minLength = 16
const hiveTokenMaxAge = "1 second"

/** A token is too short or malformed, or its file cannot be read. */
export class TokenError extends Schema.TaggedError<TokenError>()("TokenError", {
  source: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The token from ${this.source} cannot be used: ${this.reason}`
  }
}

/** A daemon without a token would accept connections from other machines. */
export class InsecureBind extends Schema.TaggedError<InsecureBind>()("BindRefused", { host: Schema.String }) {
  override get message() {
    return `Refusing to listen on ${this.host} without a token: set RBEE_TOKEN or --token-file (at least ${minLength} characters), or listen on 127.0.0.1`
  }
}

/** The setting `auth.loopback` requires a token for loopback clients, and the daemon has none. */
export class TokenMissing extends Schema.TaggedError<TokenMissing>()("TokenMissing", {
  file: Schema.String
}) {
  override get message() {
    return `auth.loopback is 'token', but no token exists: write one of at least ${minLength} characters to ${this.file}, or set RBEE_TOKEN or --token-file; or set auth.loopback to 'open'`
  }
}

/** The bearer token of this machine's daemons, if it exists, and those of the hives. */
export class Token extends Context.Service<
  Token,
  {
    readonly own: Option.Option<Redacted.Redacted<string>>
    /** The file that is read when neither `--token-file` nor `RBEE_TOKEN` is given. */
    readonly file: string
    /** Whether a credential is the token, in constant time. Without a token every credential is accepted. */
    readonly accepts: (credential: string) => boolean
    /** The token for a hive: its own, read at most a second ago, else this machine's. */
    readonly forHive: (alias: string) => Effect.Effect<Redacted.Redacted<string> | undefined>
  }
>()("rbee/access/Token") {
  /** Reads the file, else `RBEE_TOKEN`, else `config/token`; tokens of hives come from `config/tokens/<alias>`. */
  static readonly layerWith = (tokenFile: string | undefined) =>
    Layer.effect(
      Token,
      Effect.suspend(() => make(tokenFile))
    )

  static readonly layer = this.layerWith(undefined)

  /** The given token, or none, for this machine and all hives: for tests and for applications. */
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

/** The first eight hexadecimal digits of a token's SHA-256, which logs may show. */
export const fingerprint = (token: Redacted.Redacted<string>) =>
  digest(Redacted.value(token)).toString("hex").slice(0, 8)

// Hashes have equal lengths, so the comparison does not reveal the length of the token.
const acceptor = (token: string | undefined) => {
  if (token === undefined) return () => true
  const expected = digest(token)
  return (credential: string) => timingSafeEqual(digest(credential), expected)
}

/** Fails without a token if the host is not loopback, or if `auth.loopback` is `token`. */
export const checkBind = Effect.fn("Token.checkBind")(function* (host: string) {
  const { file, own } = yield* Token
  const { auth } = yield* Settings
  if (Option.isSome(own)) return
  if (!isLoopback(host)) return yield* new InsecureBind({ host })
  if (auth.loopback === "token") return yield* new TokenMissing({ file })
})

interface FoundToken {
  readonly source: string
  readonly token: string
}

/** The content of a token file without surrounding spaces; none when the file does not exist. */
const readTokenFile = (file: string) =>
  FileSystem.FileSystem.use((fs) => fs.readFileString(file)).pipe(
    Effect.map((content) => Option.some<FoundToken>({ source: file, token: content.trim() })),
    Effect.catch((error) =>
      error.reason._tag === "NotFound"
        ? Effect.succeedNone
        : Effect.fail(new TokenError({ source: file, reason: systemProblem(error) }))
    )
  )

const findOwnToken = Effect.fnUntraced(function* (tokenFile: string | undefined, defaultFile: string) {
  if (tokenFile !== undefined) {
    const found = yield* readTokenFile(tokenFile)
    if (Option.isSome(found)) return found
    return yield* new TokenError({ source: tokenFile, reason: "there is no such file" })
  }
  const fromVariable = yield* variable("RBEE_TOKEN")
  if (Option.isSome(fromVariable)) return Option.some({ source: "RBEE_TOKEN", token: fromVariable.value })
  return yield* readTokenFile(defaultFile)
})

const checkToken = ({ source, token }: FoundToken) =>
  token.length >= minLength && /^[\u0021-\u007e]+$/.test(token)
    ? Effect.succeed(token)
    : Effect.fail(
        new TokenError({
          source,
          reason: `it must have at least ${minLength} visible ASCII characters and no spaces`
        })
      )

const make = Effect.fnUntraced(function* (tokenFile: string | undefined) {
  const fs = yield* FileSystem.FileSystem
  const { config } = yield* Paths
  const file = path.join(config, "token")
  const found = yield* findOwnToken(tokenFile, file)
  const token = Option.isSome(found) ? yield* checkToken(found.value) : undefined
  const own = token === undefined ? undefined : Redacted.make(token)

  const tokensOfHives = new Map<string, WatchedFile<Redacted.Redacted<string> | undefined>>()
  const watchTokenOf = Effect.fnUntraced(
    function* (alias: string) {
      const hiveFile = path.join(config, "tokens", alias)
      const watched = yield* watchFile<Redacted.Redacted<string> | undefined, never>({
        file: hiveFile,
        initial: own,
        read: readTokenFile(hiveFile).pipe(
          Effect.orElseSucceed(() => Option.none<FoundToken>()),
          Effect.map((found) => (Option.isSome(found) ? Redacted.make(found.value.token) : own))
        ),
        onBroken: () => Effect.void,
        maxAge: hiveTokenMaxAge
      })
      tokensOfHives.set(alias, watched)
      return watched
    },
    Effect.provideService(FileSystem.FileSystem, fs)
  )

  return Token.of({
    own: Option.fromUndefinedOr(own),
    file,
    accepts: acceptor(token),
    forHive: Effect.fnUntraced(function* (alias: string) {
      const watched = tokensOfHives.get(alias) ?? (yield* watchTokenOf(alias))
      return (yield* watched.latest).value
    })
  })
})
