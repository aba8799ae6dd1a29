import * as Effect from "effect/Effect"
import { UnsafeFileName } from "./SourceErrors.ts"

const part = /^[\p{L}\p{N}_][\p{L}\p{M}\p{N}._+@=, -]{0,254}$/u

/** A server's file name, such as `Q4_K_M/tiny.gguf`, if it is a path that stays inside its folder. */
export const checkFileName = (model: string, name: string) =>
  name.length <= 512 && name.split("/").every((piece) => part.test(piece) && !piece.includes(".."))
    ? Effect.succeed(name)
    : Effect.fail(new UnsafeFileName({ model, name }))
