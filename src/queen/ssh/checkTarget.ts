import * as Effect from "effect/Effect"
import { InvalidTarget } from "./SshErrors.ts"
import type { SshTarget } from "./SshTarget.ts"

interface Form {
  readonly form: RegExp
  readonly expected: string
}

// No form lets a value begin with `-`, or hold what a shell or ssh itself would take for more than a name.
const word: Form = {
  form: /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/,
  expected: "a word of letters, digits, '.', '_' and '-'"
}
const host: Form = {
  form: /^[A-Za-z0-9:][A-Za-z0-9._:-]{0,254}$/,
  expected: "a host name or an address"
}
const port: Form = {
  form: /^([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])$/,
  expected: "a port from 1 to 65535"
}
const folder: Form = { form: /^\/\P{C}{0,1023}$/u, expected: "an absolute path" }
// Before its first `/`, scp would take a `:` for the end of a host's name.
const file: Form = { form: /^\/[^\0]+$/, expected: "an absolute path" }
const argument: Form = { form: /^[^\0]*$/, expected: "text without NUL" }

const check = (hive: string, field: string, value: string, { expected, form }: Form) =>
  form.test(value)
    ? Effect.void
    : Effect.fail(
        new InvalidTarget({
          hive: sanitized(hive),
          field,
          value: field === "argument" ? "…" : sanitized(value),
          expected
        })
      )

const sanitized = (value: string) => value.replace(/\p{C}/gu, " ").slice(0, 120)

/** Refuses a target that must not come near a command line, whoever made it. */
export const checkTarget = Effect.fnUntraced(function* (target: SshTarget) {
  yield* check(target.alias, "alias", target.alias, word)
  yield* check(target.alias, "HostName", target.hostName, host)
  yield* check(target.alias, "User", target.user, word)
  yield* check(target.alias, "Port", String(target.port), port)
})

/** Refuses arguments that a shell cannot be given. */
export const checkArguments = ({ alias }: SshTarget, args: ReadonlyArray<string>) =>
  Effect.forEach(args, (arg) => check(alias, "argument", arg, argument), { discard: true })

/** Refuses what scp could take for something else than a file here and a folder there. */
export const checkCopy = Effect.fnUntraced(function* (
  { alias }: SshTarget,
  files: ReadonlyArray<string>,
  to: string
) {
  yield* Effect.forEach(files, (path) => check(alias, "file", path, file), { discard: true })
  yield* check(alias, "folder", to, folder)
})
