import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"

export interface AtomicWriteOptions {
  /** The mode of the new file; default: that of the process. */
  readonly mode?: number
  /** Whether the content is on the disk before the file is replaced, so that it survives a power failure. */
  readonly sync?: boolean
  /**
   * The file that holds the content until it replaces the target, in the same folder; `<file>.new` by default. Writers
   * that may run at the same time need one each.
   */
  readonly temporary?: string
}

/**
 * Replaces a file: readers see the old content or the new one, never a part. The folder must exist. A failed or interrupted
 * write keeps the old file and removes the temporary one.
 */
export const atomicWrite = Effect.fn("atomicWrite")(function* (
  file: string,
  text: string,
  { mode, sync = false, temporary = `${file}.new` }: AtomicWriteOptions = {}
) {
  const fs = yield* FileSystem.FileSystem
  // A killed writer may have left the file with another mode.
  yield* fs.remove(temporary, { force: true })
  const write = Effect.gen(function* () {
    // Not `writeAll` of an open file, whose errors do not name the path.
    yield* fs.writeFileString(temporary, text, { flag: "wx", ...(mode === undefined ? {} : { mode }) })
    if (sync) yield* Effect.flatMap(fs.open(temporary, { flag: "r+" }), (open) => open.sync)
  })
  yield* Effect.scoped(write).pipe(
    Effect.andThen(fs.rename(temporary, file)),
    Effect.onError(() => Effect.ignore(fs.remove(temporary, { force: true })))
  )
})
