import * as Effect from "effect/Effect"
import { InvalidTarget } from "./SshErrors.ts"
import type { SshTarget } from "./SshTarget.ts"

interface Form {
  readonly form: RegExp
  readonly expected: string
}

// No pattern allows a leading `-` or characters with a special meaning for a shell or ssh.
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
// In a relative path, scp would take a `:` for the end of a host name.
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

/** Rejects a target that is unsafe in a command line. */
export const checkTarget = Effect.fnUntraced(function* (target: SshTarget) {
  yield* check(target.alias, "alias", target.alias, word)
  yield* check(target.alias, "HostName", target.hostName, host)
  yield* check(target.alias, "User", target.user, word)
  yield* check(target.alias, "Port", String(target.port), port)
})

/** Rejects arguments that a shell cannot receive. */
export const checkArguments = ({ alias }: SshTarget, args: ReadonlyArray<string>) =>
  Effect.forEach(args, (arg) => check(alias, "argument", arg, argument), { discard: true })

/** Rejects paths that scp could misread as a host or an option. */
export const checkCopy = Effect.fnUntraced(function* (
  { alias }: SshTarget,
  files: ReadonlyArray<string>,
  to: string
) {
  yield* Effect.forEach(files, (path) => check(alias, "file", path, file), { discard: true })
  yield* check(alias, "folder", to, folder)
})
