#!/usr/bin/env bash
# The real window on a virtual screen: opens a model and a data file by keyboard, trains a few updates, compares
# base and tuned, and takes screenshots on the way. Fails when the window does not come up, when the run or the
# answers do not appear on disk, when a picture is blank, or when closing is not clean.
#
#   tests/xvfb.sh [BINARY] [FOLDER FOR SCREENSHOTS]
#
# Needs: xvfb xdotool openbox wmctrl imagemagick libgl1 (Debian packages).
set -euo pipefail
cd "$(dirname "$0")/.."
BIN=${1:-${CARGO_TARGET_DIR:-target}/debug/tunesmith}
OUT=${2:-$(mktemp -d)}
mkdir -p "$OUT"
WORK=$(mktemp -d)
unset WAYLAND_DISPLAY

fail() { echo "xvfb: $1" >&2; tail -n 20 "$OUT/app.log" >&2 || true; exit 1; }

# A tiny Llama with a tokenizer, and rows to learn from.
mkdir "$WORK/model"
cp tests/fixtures/parity/tiny-llama/model/* tests/fixtures/window/tokenizer*.json "$WORK/model/"
# Room for the usual longest example.
sed -i 's/"max_position_embeddings": 256/"max_position_embeddings": 1024/' "$WORK/model/config.json"
{
  echo 'question,answer'
  while IFS=: read -r name kind; do
    for n in 1 2 3 4 5 6; do echo "What kind of fruit is the $name no. $n?,$kind"; done
  done <<'ROWS'
peach:drupe
apple:pome
lemon:hesperidium
tomato:berry
cucumber:pepo
pineapple:multiple fruit
ROWS
} > "$WORK/fruit.csv"

# A screen of its own with a free number, settings and project of its own.
exec 3< <(exec Xvfb -displayfd 1 -screen 0 1440x900x24 -nolisten tcp 2>/dev/null); XVFB=$!
APP=; WM=
trap 'kill ${APP:-} ${WM:-} $XVFB 2>/dev/null || true; while kill -0 $XVFB 2>/dev/null; do sleep 0.1; done; rm -rf "$WORK"' EXIT
read -r -u 3 N || fail "no virtual screen"
export DISPLAY=:$N XDG_DATA_HOME="$WORK/data" TUNESMITH_HOME="$WORK/home" HF_HUB_OFFLINE=1
openbox --sm-disable >/dev/null 2>&1 & WM=$!
# Not before the screen answers and the window manager rules it.
for _ in $(seq 50); do wmctrl -m >/dev/null 2>&1 && break; sleep 0.2; done
wmctrl -m >/dev/null || fail "no window manager on the virtual screen"

"$BIN" >"$OUT/app.log" 2>&1 & APP=$!
# Asked again and again: xdotool's own way to wait can miss a window that comes while the window manager starts.
W=
for _ in $(seq 60); do
  W=$(timeout 5 xdotool search --onlyvisible --name '^Tunesmith$' 2>/dev/null | head -n 1) || true
  [ -z "$W" ] || break
  kill -0 $APP 2>/dev/null || fail "the program ended before its window came up"
  sleep 1
done
[ -n "$W" ] || fail "the window did not come up"
sleep 2
xdotool windowactivate --sync "$W" || true

shot() {
  import -window "$W" "$OUT/$1.png"
  local colours; colours=$(identify -format %k "$OUT/$1.png")
  [ "$colours" -gt 20 ] || fail "the picture $1 is blank: $colours colours"
}
keys() { kill -0 $APP 2>/dev/null || fail "the program ended before '$1'"; xdotool key --clearmodifiers "$1"; sleep "${2:-0.6}"; }
path() { keys ctrl+l; xdotool type --delay 8 "$1"; sleep 0.4; keys Return "${2:-2}"; }
# The newest run's metrics hold a line with this event.
wait_for() {
  for _ in $(seq "$2"); do
    grep -qs "\"event\":\"$1\"" "$TUNESMITH_HOME"/project/runs/*/metrics.jsonl && return 0
    kill -0 $APP 2>/dev/null || fail "the program ended while waiting for '$1'"
    sleep 0.5
  done
  shot "failed"
  fail "no run said '$1'"
}

# The project remembers that base and tuned have answered; it is written a few seconds after.
wait_for_answers() {
  for _ in $(seq "$1"); do
    grep -qsE '"has_compared": *true' "$TUNESMITH_HOME"/project/drafts.json && return 0
    kill -0 $APP 2>/dev/null || fail "the program ended while answering"
    sleep 0.5
  done
  shot "failed"
  fail "base and tuned did not answer"
}

shot 1-home
keys ctrl+2; path "$WORK/model"; shot 2-model
keys ctrl+3; path "$WORK/fruit.csv" 3; shot 3-data
keys ctrl+4 1; shot 4-train-before
keys ctrl+Return 2; shot 5-training
wait_for update 120
wait_for finished 600
sleep 1; shot 6-trained
keys ctrl+5 1; shot 7-runs
keys ctrl+k; xdotool type --delay 8 "compare"; sleep 0.4; shot 8-palette
keys Return 1
grep -qsE '"has_compared": *true' "$TUNESMITH_HOME"/project/drafts.json && fail "it had answered before it was asked"
keys ctrl+Return 1; wait_for_answers 120; shot 9-compare

wmctrl -ic "$W" || fail "the window could not be closed"
for _ in $(seq 40); do kill -0 $APP 2>/dev/null || break; sleep 0.5; done
kill -0 $APP 2>/dev/null && fail "the program did not end when its window was closed"
wait $APP && code=0 || code=$?; APP=
[ "$code" = 0 ] || fail "the program ended with code $code"
echo "xvfb: ok, screenshots in $OUT"
