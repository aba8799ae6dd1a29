import * as path from "node:path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Paths } from "../settings/Paths.ts"
import { systemProblem } from "../settings/systemProblem.ts"
import { atomicWrite } from "../system/atomicWrite.ts"
import { makeFolder } from "../system/makeFolder.ts"
import { isAlias } from "./HivesConfFormat.ts"

/** The token file of a hive cannot be read, written or removed. */
export class HiveTokenError extends Schema.TaggedError<HiveTokenError>()("HiveTokenError", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The token file ${this.file} cannot be used: ${this.reason}`
  }
}

/** The tokens of hives on other machines, in `config/tokens/<alias>`, readable by their owner only. */
export class HiveTokens extends Context.Service<
  HiveTokens,
  {
    readonly find: (alias: string) => Effect.Effect<Option.Option<Redacted.Redacted<string>>, HiveTokenError>
    readonly save: (alias: string, token: Redacted.Redacted<string>) => Effect.Effect<void, HiveTokenError>
    /** Removes the token of a hive; an absent one is not an error. */
    readonly delete: (alias: string) => Effect.Effect<void, HiveTokenError>
  }
>()("rbee/hives/HiveTokens") {
  static readonly layer = Layer.effect(
    HiveTokens,
    Effect.suspend(() => make)
  )
}

const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { config } = yield* Paths
  const folder = path.join(config, "tokens")

  const unusable = (file: string, error: PlatformError.PlatformError) =>
    new HiveTokenError({ file, reason: systemProblem(error) })

  const fileOf = (alias: string) => {
    const file = path.join(folder, alias)
    return isAlias(alias)
      ? Effect.succeed(file)
      : Effect.fail(
          new HiveTokenError({ file, reason: "an alias consists of letters, digits, '.', '_' and '-'" })
        )
  }

  const find = Effect.fn("HiveTokens.find")(function* (alias: string) {
    const file = yield* fileOf(alias)
    return yield* fs.readFileString(file).pipe(
      Effect.map((text) =>
        Option.map(
          Option.liftPredicate(text.trim(), (token) => token !== ""),
          (token) => Redacted.make(token)
        )
      ),
      Effect.catch((error) =>
        error.reason._tag === "NotFound" ? Effect.succeedNone : Effect.fail(unusable(file, error))
      )
    )
  })

  const save = Effect.fn("HiveTokens.save")(function* (alias: string, token: Redacted.Redacted<string>) {
    const file = yield* fileOf(alias)
    // No alias has a leading dot.
    const temporary = path.join(folder, `.${alias}.${process.pid}.tmp`)
    yield* makeFolder(folder, 0o700).pipe(
      Effect.andThen(atomicWrite(file, `${Redacted.value(token)}\n`, { mode: 0o600, temporary })),
      Effect.provideService(FileSystem.FileSystem, fs),
      Effect.mapError((error) => unusable(file, error))
    )
  })

  const remove = Effect.fn("HiveTokens.delete")(function* (alias: string) {
    const file = yield* fileOf(alias)
    yield* Effect.mapError(fs.remove(file, { force: true }), (error) => unusable(file, error))
  })

  return HiveTokens.of({ find, save, delete: remove })
})
