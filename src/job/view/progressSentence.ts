import * as ByteSize from "effect/ByteSize"
import type { Progress } from "../log/JobEvent.ts"

/** A number of bytes for people: `1.2 GB`. */
export const bytes = (count: number) =>
  ByteSize.format(ByteSize.bytes(Math.round(count)), { system: "decimal", precision: 1, trailingZeros: true })

const left = (millis: number) => {
  const seconds = Math.ceil(millis / 1000)
  if (seconds < 120) return `${seconds} s left`
  const minutes = Math.round(seconds / 60)
  return minutes < 120 ? `${minutes} min left` : `${Math.round(minutes / 60)} h left`
}

/** The progress of work for people: `download: 1.2 GB of 2.0 GB (60%), 85.1 MB/s, 10 s left`. */
export const progressSentence = ({ current, eta_ms, rate, stage, total, unit }: typeof Progress.Type) => {
  const isBytes = unit === "bytes"
  const amount = (count: number) => (isBytes ? bytes(count) : String(count))
  const share = total === undefined || total === 0 ? "" : ` (${Math.floor((current / total) * 100)}%)`
  const parts = [
    `${amount(current)}${total === undefined ? "" : ` of ${amount(total)}`}${isBytes ? "" : ` ${unit}`}${share}`,
    ...(rate === undefined ? [] : [`${amount(rate)}${isBytes ? "" : ` ${unit}`}/s`]),
    ...(eta_ms === undefined ? [] : [left(eta_ms)])
  ]
  return `${stage}: ${parts.join(", ")}`
}
