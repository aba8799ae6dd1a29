import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import { ApiKeys } from "../../access/ApiKeys.ts"
import { Output } from "../Output.ts"

const nameOrId = Argument.String("name").pipe(Argument.withDescription("Key name or id"))

export const keyRevoke = Command.make(
  "revoke",
  { nameOrId },
  Effect.fnUntraced(function* (args) {
    const output = yield* Output
    const keys = yield* ApiKeys
    const record = yield* keys.revoke(args.nameOrId)
    yield* output.answer({ revoked: record.name, id: record.id })
    if ((yield* keys.list).length > 0) return
    yield* output.note(
      "Warning: this was the last key; unless the queen has a token, its application endpoints are now open to every client on this machine (close them with 'rbee key create')"
    )
  }, Effect.provide(ApiKeys.layerNoDeps))
).pipe(
  Command.withDescription("Revoke a key permanently; a running queen rejects it within two seconds"),
  Command.withExamples([
    { command: "rbee key revoke notebook" },
    { command: "rbee key revoke 3f9a04c1 --json" }
  ])
)
