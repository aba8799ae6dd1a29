import type * as PlatformError from "effect/PlatformError"
import * as Predicate from "effect/Predicate"

/** The code of the system's error that lies below another, such as `ECONNREFUSED`. */
export const causeCode = (error: unknown): string | undefined => {
  if (Predicate.hasProperty(error, "code") && typeof error.code === "string") return error.code
  return Predicate.hasProperty(error, "cause") ? causeCode(error.cause) : undefined
}

/** What happened, and what to do about it. */
const problems: { readonly [code: string]: string } = {
  ENOSPC: "the disk is full; free some space on it",
  EDQUOT: "the disk quota of this user is used up; free some space or raise the quota",
  EROFS: "the file system is read-only; mount it writable or choose another folder (RBEE_HOME)",
  EACCES: "permission denied; check the owner and the mode of the file and of its folder",
  EPERM: "the operation is not permitted; check the owner and the attributes of the file",
  EMFILE: "this process has too many open files; raise its limit (ulimit -n) and retry",
  ENFILE: "the system has too many open files; end programs or raise fs.file-max, and retry",
  EIO: "the device reported an input/output error; check the disk and the log of the system",
  ENAMETOOLONG: "the name is too long for the file system; choose a shorter one",
  ENOENT: "it does not exist; check the path",
  ENOTDIR: "a part of the path is not a folder; check the path",
  EISDIR: "it is a folder, not a file; check the path",
  EEXIST: "it exists already; remove it or choose another name",
  ENOTEMPTY: "the folder is not empty",
  ELOOP: "the path has too many symbolic links; check the links",
  EBUSY: "it is in use; end what uses it and retry",
  ETXTBSY: "the program is being written; retry when that is done",
  EFBIG: "the file is larger than the file system or the limit of this process allows",
  EXDEV: "source and target are on different file systems",
  EINVAL: "the file system does not support the operation",
  ENOTSUP: "the file system does not support the operation",
  ENODEV: "the device is gone; check that the disk is connected and mounted",
  ENXIO: "the device is gone; check that the disk is connected and mounted",
  ESTALE: "the network file system lost the file; mount it again",
  ETIMEDOUT: "the device or network file system did not respond in time; retry",
  ENOMEM: "the system has too little memory; end programs and retry",
  EAGAIN: "the system has too few resources, such as processes, at the moment; end programs and retry",
  ENOEXEC: "the program is for another system or processor",
  E2BIG: "the arguments of the program are too long",
  EPIPE: "the reader closed the pipe"
}

/** What each kind of Effect's errors stands for, where the system's own code is not known. */
const codes: { readonly [tag: string]: string } = {
  AlreadyExists: "EEXIST",
  Busy: "EBUSY",
  NotFound: "ENOENT",
  PermissionDenied: "EACCES",
  TimedOut: "ETIMEDOUT"
}

const isPlatformError = (error: unknown): error is PlatformError.PlatformError =>
  Predicate.isTagged(error, "PlatformError")

/** The code of a system error: its own, such as `ENOSPC`, else that which its kind stands for. */
export const systemCode = (error: unknown) =>
  causeCode(error) ?? (isPlatformError(error) ? codes[error.reason._tag] : undefined)

/** What went wrong in the system and what to do, with the code: `the disk is full; free some space on it (ENOSPC)`. */
export const systemProblem = (error: unknown): string => {
  const code = systemCode(error)
  const problem = code === undefined ? undefined : problems[code]
  if (problem !== undefined) return `${problem} (${code})`
  if (code !== undefined) return `the system reported ${code}`
  return error instanceof Error ? error.message : String(error)
}

const readingMethods =
  /^(?:access|exists|open|read|readAlloc|readDirectory|readFile|readFileString|readLink|realPath|seek|stat|stream)$/

/** A sentence for a system error that nobody described any better: what could not be done, where, and why. */
export const systemSentence = (error: PlatformError.PlatformError): string => {
  const { reason } = error
  if (reason._tag === "BadArgument") return error.message
  const place = reason.pathOrDescriptor ?? `${reason.module}.${reason.method}`
  if (reason.module !== "FileSystem") return `${place} failed: ${systemProblem(error)}`
  return `${place} cannot be ${readingMethods.test(reason.method) ? "read" : "written"}: ${systemProblem(error)}`
}
