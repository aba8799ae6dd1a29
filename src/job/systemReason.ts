import { causeCode } from "./causeCode.ts"

const meanings: Readonly<Record<string, string>> = {
  EACCES: "permission denied; check the owner and the mode of the path and its folders",
  EBUSY: "the file is in use",
  EDQUOT: "the disk quota is used up; free some space or raise the quota",
  EEXIST: "it exists already",
  EFBIG: "the file is too large for the file system",
  EIO: "the disk reported an input/output error; check the disk",
  EISDIR: "it is a folder",
  ELOOP: "its symbolic links form a loop",
  EMFILE: "this process has too many open files; raise its limit (ulimit -n)",
  ENAMETOOLONG: "the name is too long",
  ENFILE: "the system has too many open files",
  ENODEV: "the device is gone; check that the disk is mounted",
  ENOENT: "it does not exist",
  ENOMEM: "the system has no memory left",
  ENOSPC: "the disk is full; free some space",
  ENOTDIR: "a part of the path is not a folder",
  ENOTEMPTY: "the folder is not empty",
  EPERM: "the operation is not permitted; check the owner and the attributes of the path",
  EROFS: "the file system is read-only; mount it writable",
  ESTALE: "the network file system lost the file; mount it again",
  ETXTBSY: "the file is being executed",
  EXDEV: "the path is on another file system"
}

/** What happened and what to do, of an error of the operating system, with its code: `the disk is full; free some space (ENOSPC)`. */
export const systemReason = (error: unknown): string => {
  const code = causeCode(error)
  if (code === undefined) return error instanceof Error ? error.message : String(error)
  const meaning = meanings[code]
  return meaning === undefined ? code : `${meaning} (${code})`
}
