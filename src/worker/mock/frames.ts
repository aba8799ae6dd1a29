import * as Stream from "effect/Stream"

const blankLine = "\n\n"

/** Cuts the bytes of Server-Sent Events after each blank line, whatever pieces they come in. */
export const framesOf = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<string, E, R> =>
  bytes.pipe(
    Stream.decodeText(),
    Stream.mapAccum(
      () => "",
      (rest: string, text) => {
        const frames = (rest + text).split(blankLine)
        const unfinished = frames.pop() ?? ""
        return [unfinished, frames.map((frame) => frame + blankLine)]
      },
      { onHalt: (rest) => (rest === "" ? [] : [rest]) }
    )
  )

/** Whether a frame is an event, not only a comment. */
export const isEvent = (frame: string) => /^data:/m.test(frame)

/** The frames, each with the number of events up to it. */
const numbered = Stream.mapAccum(
  () => 0,
  (before: number, frame: string): readonly [number, ReadonlyArray<{ frame: string; events: number }>] => {
    const events = isEvent(frame) ? before + 1 : before
    return [events, [{ frame, events }]]
  }
)

/** The frames up to the `count`-th event, which must be at least the first; then the rest is not read. */
export const firstEvents = <E, R>(frames: Stream.Stream<string, E, R>, count: number) =>
  numbered(frames).pipe(
    Stream.takeUntil(({ events }) => events === count),
    Stream.map(({ frame }) => frame)
  )

/** The frames up to the `count`-th event; the rest is read and kept back, and the stream does not end. */
export const silentAfter = <E, R>(frames: Stream.Stream<string, E, R>, count: number) => {
  let isSilent = false
  return numbered(frames).pipe(
    Stream.filter(({ events }) => {
      const isKept = !isSilent
      isSilent = events >= count
      return isKept
    }),
    Stream.map(({ frame }) => frame),
    Stream.concat(Stream.never)
  )
}
