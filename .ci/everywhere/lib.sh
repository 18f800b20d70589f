# What the steps of `make everywhere` share: places, result rows and the table. Sourced by bash.
# shellcheck shell=bash disable=SC2034

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
CACHE=${ANYECG_EVERYWHERE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/anyecg/everywhere}

die() {
  printf 'everywhere: %s\n' "$*" >&2
  exit 2
}

# needs TOOL PACKAGE: ends with one line where a tool is missing.
needs() {
  command -v "$1" >/dev/null || die "$1 is missing: sudo apt-get install $2"
}

# row WHERE WHAT VERDICT SECONDS MIB NOTE: adds a line to the table. A verdict of FAIL fails the whole run.
row() {
  local IFS=$'\t'
  printf '%s\n' "$*" >>"${RESULTS:-/dev/stdout}"
}

# seconds LOG COMMAND...: runs a command into a log and prints its wall time; returns the command's exit status.
seconds() {
  local log=$1 started=$EPOCHREALTIME status=0
  shift
  "$@" >"$log" 2>&1 </dev/null || status=$?
  awk -v a="$started" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
  return "$status"
}

# timed WHERE WHAT LOG COMMAND...: one command that is one row.
timed() {
  local where=$1 what=$2 log=$3 took verdict=ok
  shift 3
  took=$(seconds "$log" "$@") || verdict=FAIL
  row "$where" "$what" "$verdict" "$took" - "$(last_line "$log")"
  [[ $verdict == ok ]] || tail -n 25 "$log"
  [[ $verdict == ok ]]
}

# budget LOG NAME: the measured value of a line of the table of `anyecg bench`.
budget() {
  sed -nE "s/^$2.*[^ ]  +([0-9.e+-]+) +[0-9.]+.*/\1/p" "$1"
}

# budgets WHERE LOG COMMAND...: runs `anyecg bench`; the row has memory, cold start and the budgets that are broken.
budgets() {
  local where=$1 log=$2 took verdict=ok broken
  shift 2
  took=$(seconds "$log" "$@") || verdict=FAIL
  broken=$(sed -nE 's/ {2,}.*BROKEN$//p' "$log" | paste -sd ';')
  row "$where" "anyecg bench" "$verdict" "$took" - \
    "peak RSS $(budget "$log" "peak RSS") MiB, cold start $(budget "$log" "cold start") s${broken:+; BROKEN: $broken}"
  [[ $verdict == ok ]] || cat "$log"
}

# last_line LOG: the summaries of every run of pytest in it, or else its last line that is not empty.
last_line() {
  local said
  said=$(grep -E '^=+ .*(passed|failed|error|no tests ran).* =+$' "$1" | sed -E 's/^=+ //; s/ =+$//' | paste -sd ';' | sed 's/;/; /g' || true)
  [[ -n $said ]] || said=$(grep -v '^\s*$' "$1" | tail -n 1 | tr '\t' ' ' | cut -c 1-90)
  printf '%s' "$said"
}

# mib FOLDER: its size on disk.
mib() {
  du -sm "$1" 2>/dev/null | cut -f 1
}

# table ROWS: prints tab-separated rows in columns.
table() {
  awk -F '\t' '
    BEGIN { n = 1; split("where\twhat\tresult\tseconds\tMiB\tnote", head, FS); for (i = 1; i <= 6; i++) cell[1, i] = head[i] }
    { n++; for (i = 1; i <= 6; i++) cell[n, i] = $i }
    END {
      for (r = 1; r <= n; r++) for (i = 1; i < 6; i++) if (length(cell[r, i]) > width[i]) width[i] = length(cell[r, i])
      for (r = 1; r <= n; r++) {
        line = ""
        for (i = 1; i < 6; i++) line = line sprintf((i == 4 || i == 5) ? "%*s  " : "%-*s  ", width[i], cell[r, i])
        line = line cell[r, 6]; sub(/ +$/, "", line); print line
      }
    }' "$1"
}
