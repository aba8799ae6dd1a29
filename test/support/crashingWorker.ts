// Writes thirteen lines, and when it ends, which it does with an error, as a worker does whose model cannot be loaded.
for (let line = 1; line <= 13; line++) console.error(`line ${line}`)
console.error(`ended at ${Date.now()}`)
process.exit(3)
