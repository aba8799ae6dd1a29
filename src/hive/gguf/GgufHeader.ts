import { Cursor, headerLimits, type NumberType, type Parsing, refuse } from "./GgufCursor.ts"
import { tensorTypes } from "./GgufTypes.ts"

const keptArrayItems = 1024

/** A metadata array: its length, and its numbers if there are few of them. */
export interface ArrayValue {
  readonly length: number
  readonly numbers: ReadonlyArray<number>
}

/** A metadata value. Strings are truncated to 64 KiB. */
export type Value = string | number | boolean | ArrayValue

/** The part of a GGUF file before its weights. */
export interface GgufHeader {
  readonly fileBytes: number
  readonly version: number
  readonly metadata: ReadonlyMap<string, Value>
  readonly tensors: number
  /** The number of weights in all tensors. */
  readonly parameters: number
  /** The number of the tensor type with the most weights. */
  readonly mainType: number | undefined
}

const numberTypes: ReadonlyMap<number, NumberType> = new Map([
  [0, { bytes: 1, read: (view: DataView, at: number) => view.getUint8(at) }],
  [1, { bytes: 1, read: (view: DataView, at: number) => view.getInt8(at) }],
  [2, { bytes: 2, read: (view: DataView, at: number) => view.getUint16(at, true) }],
  [3, { bytes: 2, read: (view: DataView, at: number) => view.getInt16(at, true) }],
  [4, { bytes: 4, read: (view: DataView, at: number) => view.getUint32(at, true) }],
  [5, { bytes: 4, read: (view: DataView, at: number) => view.getInt32(at, true) }],
  [6, { bytes: 4, read: (view: DataView, at: number) => view.getFloat32(at, true) }],
  [7, { bytes: 1, read: (view: DataView, at: number) => view.getUint8(at) }],
  [10, { bytes: 8, read: (view: DataView, at: number) => Number(view.getBigUint64(at, true)) }],
  [11, { bytes: 8, read: (view: DataView, at: number) => Number(view.getBigInt64(at, true)) }],
  [12, { bytes: 8, read: (view: DataView, at: number) => view.getFloat64(at, true) }]
])

const booleanType = 7
const stringType = 8
const arrayType = 9

function* readValue(cursor: Cursor, type: number): Parsing<Value> {
  if (type === stringType) return yield* cursor.text()
  if (type === arrayType) return yield* readArray(cursor, 1)
  const numberType = numberTypes.get(type)
  if (numberType === undefined)
    return yield* refuse("unsupported", `it has a value of the unknown type ${type}`)
  const value = yield* cursor.number(numberType)
  return type === booleanType ? value !== 0 : value
}

function* readArray(cursor: Cursor, depth: number): Parsing<ArrayValue> {
  if (depth > headerLimits.arrayDepth) return yield* refuse("absurd", `it has arrays ${depth} deep`)
  const type = yield* cursor.uint32()
  const length = yield* cursor.uint64()
  if (length > headerLimits.arrayItems) return yield* refuse("absurd", `it has an array of ${length} items`)
  if (type === stringType) {
    yield* cursor.skipTexts(length)
    return { length, numbers: [] }
  }
  if (type === arrayType) {
    for (let index = 0; index < length; index++) yield* readArray(cursor, depth + 1)
    return { length, numbers: [] }
  }
  const numberType = numberTypes.get(type)
  if (numberType === undefined)
    return yield* refuse("unsupported", `it has an array of the unknown type ${type}`)
  if (length > keptArrayItems) {
    yield* cursor.skip(length * numberType.bytes)
    return { length, numbers: [] }
  }
  const numbers: Array<number> = []
  for (let index = 0; index < length; index++) numbers.push(yield* cursor.number(numberType))
  return { length, numbers }
}

function* readMetadata(cursor: Cursor, entries: number): Parsing<ReadonlyMap<string, Value>> {
  const metadata = new Map<string, Value>()
  for (let index = 0; index < entries; index++) {
    const key = yield* cursor.text()
    metadata.set(key, yield* readValue(cursor, yield* cursor.uint32()))
  }
  return metadata
}

interface Tensors {
  readonly parameters: number
  readonly mainType: number | undefined
  /** The offset of the end of the last weight from the first one. */
  readonly end: number
}

function* readTensors(cursor: Cursor, count: number): Parsing<Tensors> {
  const weights = new Map<number, number>()
  let parameters = 0
  let end = 0
  for (let index = 0; index < count; index++) {
    yield* cursor.skipTexts(1)
    const dimensions = yield* cursor.uint32()
    if (dimensions > headerLimits.dimensions) {
      return yield* refuse("absurd", `it has a tensor with ${dimensions} dimensions`)
    }
    let elements = 1
    for (let dimension = 0; dimension < dimensions; dimension++) elements *= yield* cursor.uint64()
    const type = yield* cursor.uint32()
    const offset = yield* cursor.uint64()
    const stored = tensorTypes.get(type)
    const bytes = stored === undefined ? 0 : Math.ceil(elements / stored.block) * stored.bytes
    parameters += elements
    end = Math.max(end, offset + bytes)
    if (!Number.isSafeInteger(parameters) || !Number.isSafeInteger(end)) {
      return yield* refuse("absurd", "its tensors are larger than any machine")
    }
    weights.set(type, (weights.get(type) ?? 0) + elements)
  }
  const [main] = [...weights].sort((left, right) => right[1] - left[1])
  return { parameters, mainType: main?.[0], end }
}

function* checkStart(cursor: Cursor): Parsing<number> {
  const magic = yield* cursor.uint32()
  if (magic !== 0x46554747) return yield* refuse("not_gguf", "it does not begin with the letters GGUF")
  const version = yield* cursor.uint32()
  if (version === 2 || version === 3) return version
  const bigEndian = version !== 0 && version % 0x1000000 === 0
  return yield* refuse(
    "unsupported",
    bigEndian
      ? "it is a big-endian file; take the little-endian one"
      : `its GGUF version is ${version}; rbee supports 2 and 3`
  )
}

/**
 * Parses the header of a little-endian GGUF file, version 2 or 3, of `fileBytes` bytes, and checks that the file is long
 * enough for its weights. The strings of the vocabulary are skipped.
 */
export function* parseHeader(fileBytes: number): Parsing<GgufHeader> {
  const cursor = new Cursor(fileBytes)
  const version = yield* checkStart(cursor)
  const tensors = yield* cursor.uint64()
  const entries = yield* cursor.uint64()
  if (tensors > headerLimits.tensors) return yield* refuse("absurd", `it announces ${tensors} tensors`)
  if (entries > headerLimits.entries)
    return yield* refuse("absurd", `it announces ${entries} metadata entries`)
  const metadata = yield* readMetadata(cursor, entries)
  const { parameters, mainType, end } = yield* readTensors(cursor, tensors)

  const alignment = metadata.get("general.alignment") ?? 32
  if (
    typeof alignment !== "number" ||
    !Number.isInteger(alignment) ||
    alignment < 1 ||
    alignment > headerLimits.alignment
  ) {
    return yield* refuse("absurd", "its alignment is invalid")
  }
  const expectedBytes = Math.ceil(cursor.position / alignment) * alignment + end
  if (tensors > 0 && expectedBytes > fileBytes) {
    return yield* refuse("cut_off", `it has ${fileBytes} bytes of ${expectedBytes}; download it again`)
  }
  return { fileBytes, version, metadata, tensors, parameters, mainType }
}
