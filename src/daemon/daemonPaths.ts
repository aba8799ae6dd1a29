const exact: ReadonlySet<string> = new Set([
  "/v1/build-info",
  "/v1/capabilities",
  "/v1/heartbeat",
  "/v1/inventory",
  "/v1/jobs",
  "/v1/shutdown"
])

/** The path of a URL as the router compares it: in lower case, without repeated and trailing slashes. */
export const routedPath = (url: string) => {
  const [path = ""] = url.split("?", 1)
  return path
    .replaceAll(/\/{2,}/g, "/")
    .replace(/(?<=.)\/$/, "")
    .toLowerCase()
}

/** Whether a path, as the router compares it, belongs to the daemon: to jobs, or to the traffic between queens and hives. */
export const isDaemonPath = (path: string) => exact.has(path) || path.startsWith("/v1/jobs/")
