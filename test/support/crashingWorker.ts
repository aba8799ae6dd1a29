// Writes thirteen lines and ends with an error, as a worker does whose model cannot be loaded.
for (let line = 1; line <= 13; line++) console.error(`line ${line}`)
process.exit(3)
