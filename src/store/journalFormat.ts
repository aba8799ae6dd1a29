import { crc32 } from "node:zlib"

// A journal file is a magic number and blocks. A block is the length and the checksum of its parts, and the parts. A part
// is its kind, the number of its job, the length of its data, and the data.

/** The first bytes of a journal file. */
export const journalMagic = Buffer.from("RBEEJRN1")

/** The size of the head of a block, in bytes. */
export const blockHead = 8

/** The size of the head of a part, in bytes. */
export const partHead = 9

/** Events of a job; its record, new or changed; or the note that SQLite and the archive have the job. */
export const partKinds = { events: 1, record: 2, stored: 3 } as const
export type PartKind = (typeof partKinds)[keyof typeof partKinds]

const kinds: ReadonlyMap<number, PartKind> = new Map(Object.values(partKinds).map((kind) => [kind, kind]))

/** A part of a journal. */
export interface JournalPart {
  readonly kind: PartKind
  readonly seq: number
  readonly bytes: Buffer
}

/** Writes the head of the block that fills the buffer up to `end`. */
export const sealBlock = (buffer: Buffer, end: number) => {
  buffer.writeUInt32LE(end - blockHead, 0)
  buffer.writeUInt32LE(crc32(buffer.subarray(blockHead, end)), 4)
}

/** Writes the head of a part. */
export const writePartHead = (buffer: Buffer, at: number, kind: PartKind, seq: number, length: number) => {
  buffer[at] = kind
  buffer.writeUInt32LE(seq, at + 1)
  buffer.writeUInt32LE(length, at + 5)
}

/** Why a journal file cannot be read to its end. A torn one ends within a block: its writer was killed. */
export type JournalFault = "foreign" | "torn" | "damaged"

const readParts = (block: Buffer, onPart: (part: JournalPart) => void) => {
  for (let at = 0; at + partHead <= block.length;) {
    const start = at + partHead
    const end = start + block.readUInt32LE(at + 5)
    const kind = kinds.get(block[at] ?? 0)
    if (kind !== undefined)
      onPart({ kind, seq: block.readUInt32LE(at + 1), bytes: block.subarray(start, end) })
    at = end
  }
}

/** Reads the parts of a journal file up to the first block that is not intact, and returns what is wrong with that. */
export const readJournalFile = (
  content: Buffer,
  onPart: (part: JournalPart) => void
): JournalFault | undefined => {
  const magic = content.subarray(0, journalMagic.length)
  if (!journalMagic.subarray(0, magic.length).equals(magic)) return "foreign"
  for (let at = journalMagic.length; at < content.length;) {
    if (at + blockHead > content.length) return "torn"
    const start = at + blockHead
    const end = start + content.readUInt32LE(at)
    if (end > content.length) return "torn"
    const block = content.subarray(start, end)
    // The last block may have its length, but not yet its data, when the power fails.
    if (crc32(block) !== content.readUInt32LE(at + 4)) return end === content.length ? "torn" : "damaged"
    readParts(block, onPart)
    at = end
  }
  return undefined
}
