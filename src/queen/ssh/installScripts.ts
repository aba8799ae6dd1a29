/*
 * The scripts that the installer runs on the other machine with /bin/sh. A script receives values as arguments, never in its
 * text. Its output lines begin with `rbee:`, because a login shell may print others.
 */

/** The start of every script: strict mode, private files, and rbee's folders as `Paths` defines them. */
export const prologue = `
set -eu
umask 077
LC_ALL=C; export LC_ALL
report() { printf 'rbee:%s %s\\n' "$1" "$2"; }
below() { case $1 in /*) printf '%s/rbee' "$1" ;; *) printf '%s/%s/rbee' "$HOME" "$2" ;; esac; }
case \${RBEE_HOME:-} in
  '') config=$(below "\${XDG_CONFIG_HOME:-}" .config); data=$(below "\${XDG_DATA_HOME:-}" .local/share) ;;
  /*) config=$RBEE_HOME/config; data=$RBEE_HOME/data ;;
  *) RBEE_HOME=$PWD/$RBEE_HOME; export RBEE_HOME; config=$RBEE_HOME/config; data=$RBEE_HOME/data ;;
esac
programs=$data/program
engine=$data/engines/llama
mark='# Written by rbee hive install'
launcher_at() {
  case $1 in
    '') printf '%s/bin/rbee' "$data" ;;
    /*) printf '%s' "$1" ;;
    '~/'*) printf '%s/%s' "$HOME" "\${1#??}" ;;
    *) printf '%s/%s' "$HOME" "$1" ;;
  esac
}
is_ours() { [ "$(sed -n '2{p;q;}' "$1" 2>/dev/null | tr -d '\\000')" = "$mark" ]; }
`

/** Reports the state of the machine. $1: BinaryPath, or empty. */
export const probeScript = `${prologue}
launcher=$(launcher_at "$1")
report data "$data"
report launcher "$launcher"
if [ -e "$launcher" ] && ! is_ours "$launcher"; then report foreign_file "$launcher"; fi
report system "$(uname -s)"
report machine "$(uname -m)"
if ls /lib/ld-musl-* >/dev/null 2>&1; then report libc musl; fi
if command -v nvidia-smi >/dev/null 2>&1; then report backend cuda; fi
for node in "$(command -v node || :)" "$programs"/node-*/bin/node /usr/local/bin/node /opt/homebrew/bin/node \\
  /usr/bin/node /snap/bin/node "$HOME"/.local/bin/node "$HOME"/.volta/bin/node "$HOME"/.nvm/versions/node/*/bin/node
do
  if [ -x "$node" ]; then report node "$("$node" --version 2>/dev/null </dev/null || :) $node"; fi
done
for program in "$programs"/*/dist/bin.js; do
  if [ -f "$program" ]; then program=\${program%/dist/bin.js}; report program "\${program##*/}"; fi
done
if [ -f "$engine/node_modules/node-llama-cpp/package.json" ]; then
  report engine "$(sed -n 's/^ *"version": *"\\([^"]*\\)".*/\\1/p' "$engine/node_modules/node-llama-cpp/package.json" | head -n 1)"
  if [ -f "$engine/package.json" ]; then report engine_by npm; fi
fi
folder=$data
while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
# The names before and after the numbers may contain spaces.
free=$(df -Pk "$folder" | awk 'NR > 1 { for (i = 2; i <= NF; i++) if ($i ~ /^[0-9]+%$/) print $(i - 1) }' | head -n 1)
if [ -n "$free" ]; then report free "$free"; fi
`

/** Creates a folder for uploads, and removes abandoned ones that are older than a day. */
export const makeIncomingScript = `${prologue}
mkdir -p "$programs"
find "$programs" -name '.incoming.*' -prune -mtime +0 -exec rm -rf {} +
report incoming "$(mktemp -d "$programs/.incoming.XXXXXX")"
`

/** Removes an upload folder. $1: the folder. */
export const removeIncomingScript = `${prologue}
case $1 in "$programs"/.incoming.*) rm -rf "$1" ;; esac
`

/**
 * Verifies and unpacks an uploaded part, runs it, and renames it to its place. $1: the upload folder, $2: program, node or
 * engine, $3: its SHA-256, $4: its folder below the programs, $5: the Node that runs the program, $6: the version that the
 * program or Node must report.
 */
export const unpackScript = `${prologue}
incoming=$1 kind=$2 sha256=$3 name=$4 node=$5 version=$6
archive=$incoming/$kind.tar.gz
digest() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum
  elif command -v shasum >/dev/null 2>&1; then shasum -a 256
  elif command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r
  else "$node" -e 'const h = require("crypto").createHash("sha256"); process.stdin.pipe(h).on("finish", () => console.log(h.digest("hex")))'
  fi | cut -c 1-64
}
[ "$(digest <"$archive")" = "$sha256" ] || { report damaged "$kind"; exit 0; }
unpacked=$incoming/$kind
mkdir "$unpacked"
tar -xzof "$archive" -C "$unpacked"
rm -f "$archive"
named=$version
case $kind in
  program) place=$programs/$name; named=$("$node" "$unpacked/dist/bin.js" --version 2>&1 </dev/null || :) ;;
  node) place=$programs/$name; named=$("$unpacked/bin/node" --version 2>&1 </dev/null || :) ;;
  engine) place=$engine/node_modules; unpacked=$unpacked/node_modules ;;
esac
[ "$named" = "$version" ] || { report broken "$(printf '%s' "$named" | tr '\\n' ' ' | cut -c 1-500)"; exit 0; }
mkdir -p "$(dirname "$place")"
if [ -e "$place" ]; then mv "$place" "$incoming/replaced-$kind"; fi
mv "$unpacked" "$place"
report placed "$kind"
`

/**
 * Switches the launcher to a program, and removes other programs that no process uses. $1: BinaryPath, or empty, $2: the
 * program's folder, $3: its Node, $4: the token, $5: yes if this token replaces an existing one.
 */
export const activateScript = `${prologue}
launcher=$(launcher_at "$1") program=$programs/$2 node=$3 token=$4 replaces_token=$5
quoted() { printf '%s' "$1" | sed "s/'/'\\\\\\\\''/g; 1s/^/'/; \\$s/\\$/'/"; }
text=$(printf '#!/bin/sh\\n%s\\nexec %s %s "$@"\\n' "$mark" "$(quoted "$node")" "$(quoted "$program/dist/bin.js")")
if [ "$(cat "$launcher" 2>/dev/null || :)" != "$text" ]; then
  mkdir -p "$(dirname "$launcher")"
  printf '%s\\n' "$text" >"$launcher.$$"
  chmod 755 "$launcher.$$"
  mv -f "$launcher.$$" "$launcher"
  report switched "$2"
fi
is_visible() { case $1 in *[!!-~]*) return 1 ;; esac; }
there=$(cat "$config/token" 2>/dev/null || :)
if [ "$there" = "$token" ]; then :
elif [ "$replaces_token" != yes ] && [ "\${#there}" -ge 16 ] && is_visible "$there"; then report token "$there"
else
  mkdir -p "$config"
  printf '%s\\n' "$token" >"$config/.token.$$"
  mv -f "$config/.token.$$" "$config/token"
  report wrote token
fi
chmod 600 "$config/token"
used=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\000' '\\n' || :; ps -A -o args= 2>/dev/null || :)
for folder in "$programs"/*; do
  case $folder in "$program" | "\${node%/bin/node}") continue ;; esac
  case $used in
    *"$folder/"*) report kept "\${folder##*/}" ;;
    *) rm -rf "$folder"; report removed "\${folder##*/}" ;;
  esac
done
`

/** Removes rbee and keeps the models. $1: BinaryPath, or empty, $2: the token to remove with it, or empty. */
export const removeScript = `${prologue}
launcher=$(launcher_at "$1")
report data "$data"
if [ -e "$launcher" ] && is_ours "$launcher"; then rm -f "$launcher"; report removed launcher; fi
if [ -d "$programs" ]; then rm -rf "$programs"; report removed program; fi
if [ -d "$engine" ] && [ ! -e "$engine/package.json" ]; then rm -rf "$engine"; report removed engine; fi
if [ -n "$2" ] && [ "$(cat "$config/token" 2>/dev/null || :)" = "$2" ]; then rm -f "$config/token"; report removed token; fi
rmdir "$data/bin" "$data/engines" 2>/dev/null || :
`

/** Runs rbee. $1: BinaryPath, or empty; the other arguments are rbee's. */
export const runProgramScript = `${prologue}
launcher=$(launcher_at "$1")
shift
if [ ! -x "$launcher" ]; then report missing "$launcher"; exit 0; fi
code=0
output=$("$launcher" "$@" 2>&1 </dev/null) || code=$?
printf '%s\\n' "$output" | sed 's/^/rbee:output /'
report code "$code"
report launcher "$launcher"
`
