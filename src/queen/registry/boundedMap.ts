const maxHives = 1024

/** Sets the value of a hive as the newest entry; beyond 1,024 hives, the oldest entry is removed. */
export const setBounded = <A>(map: Map<string, A>, hive: string, value: A) => {
  map.delete(hive)
  map.set(hive, value)
  const oldest = map.keys().next()
  if (map.size > maxHives && oldest.done !== true) map.delete(oldest.value)
}
