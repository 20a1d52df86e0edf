#!/usr/bin/env bash
# A new product from nothing, as in docs/learn-walk.md: collect, learn, run, mark a false reject, learn it, and it passes.
# Every command is printed with what it answers. Takes mosquitto, curl and jq, and a foundation (`make setup-foundation`).
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
    cat >&2 <<'END'
usage: scripts/walk_learn.sh [--program FILE] [--parts DIR] [--work DIR]
  --program  by default target/release/diad
  --parts    good parts of one product, by default rendered washers; 20 are learnt, 24 more pass in front of the camera
  --work     by default a folder that goes when it is done
END
    exit 64
}
program=target/release/diad parts='' work=''
while [ "$#" -gt 0 ]; do
    [ "$#" -ge 2 ] || usage
    case $1 in
    --program) program=$(realpath "$2") ;;
    --parts) parts=$(realpath "$2") ;;
    --work) work=$2 ;;
    *) usage ;;
    esac
    shift 2
done
for tool in mosquitto mosquitto_pub curl jq; do
    command -v "$tool" >/dev/null || { echo "walk: $tool is missing" >&2 && exit 69; }
done
program=$(realpath "$program")
model=$PWD/onnx/models/diad-tiny
children=()
ended() {
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    wait
    [ -z "${made:-}" ] || rm -rf "$made"
}
trap ended EXIT
if [ -z "$work" ]; then
    work=$(mktemp -d)
    made=$work
fi
mkdir -p "$work"
work=$(realpath "$work")
# `diad` is the program; paths in what is printed begin at the working folder.
export PATH=$work/bin:$PATH DIAD_LOG=warn DIAD_STATE=$work/none
DIAD_FOUNDATIONS=${DIAD_FOUNDATIONS:-$PWD/target/foundation}
export DIAD_FOUNDATIONS
mkdir -p "$work/bin"
ln -sf "$program" "$work/bin/diad"

[ -n "$parts" ] || {
    diad demo --write-dataset "$work/rendered" --seed 5 >/dev/null
    parts=$work/rendered/washer/train/good
}
cd "$work"
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
mqtt=$(free_port)
http=$(free_port)
step() { printf '\n## %s\n\n' "$1"; }
show() { # prints a command and what it answers
    printf '$ %s\n' "${1//127.0.0.1:$http/127.0.0.1:8080}"
    bash -c "$1" 2>&1 | sed "s|$work/||g; s|127.0.0.1:$http|127.0.0.1:8080|g"
}
api() { curl -sf "http://127.0.0.1:$http/api/v1/$1" "${@:2}"; }

step 'Collect'
mkdir -p good line state
find "$parts" -name '*.png' -o -name '*.jpg' | sort >all
head -n 20 all | xargs cp -t good
sed -n 21,44p all | xargs cp -t line
cat >diad.yaml <<END
line: L1
station: S1
cameras:
  - { id: cam0, source: { kind: replay, folder: $work/line, looped: true }, trigger: { kind: free_run, every_ms: 2000 } }
deadline_ms: 10000
engine: { model: $model }
mqtt: { url: mqtt://127.0.0.1:$mqtt }
ledger: { path: $work/state/ledger.sqlite3, images: { keep: [REVIEW, REJECT], max_gib: 1 } }
http: { listen: 127.0.0.1:$http }
thresholds: $work/thresholds.yaml
END
printf 'default: { review: 0.06, reject: 0.075 }\n' >thresholds.yaml
show 'ls good | wc -l'

step 'Learn'
began=$SECONDS
show 'diad learn --product ring good --config diad.yaml'
learnt=$((SECONDS - began))
show 'cat thresholds.yaml'

step 'Run'
printf 'listener %s 127.0.0.1\nallow_anonymous true\n' "$mqtt" >mosquitto.conf
mosquitto -c mosquitto.conf >mosquitto.log 2>&1 &
children+=($!)
for _ in $(seq 100); do mosquitto_pub -p "$mqtt" -t up -m up 2>/dev/null && break || sleep 0.1; done
mosquitto_pub -p "$mqtt" -r -t factory/L1/S1/product -m '{"product":"ring"}'
printf '$ diad run --config diad.yaml &\n'
diad run --config diad.yaml >run.log 2>&1 &
children+=($!)
until api 'parts?limit=1' >/dev/null 2>&1; do sleep 0.5; done
# Every part of the folder once.
until [ "$(api 'parts?product=ring&limit=200' | jq '.parts | length')" -ge 26 ]; do sleep 1; done
show "curl -s 'http://127.0.0.1:$http/api/v1/parts?product=ring&limit=24' | jq -c '[.parts[].verdict] | group_by(.) | map({(.[0]): length}) | add'"
key=$(api 'parts?product=ring&verdict=REJECT&limit=200' | jq -r '.parts | sort_by(.score) | .[-1].key // empty')
[ -n "$key" ] || { echo 'walk: no good part was rejected; nothing to mark' >&2 && exit 1; }
show "curl -s http://127.0.0.1:$http/api/v1/parts/$key | jq -c '{verdict, score, reject_at, witnesses}'"

step 'Mark a false reject'
show "curl -s -X POST -H 'Content-Type: application/json' -d '{\"mark\":\"false_reject\"}' http://127.0.0.1:$http/api/v1/parts/$key/mark | jq -c '{key, mark}'"

step 'Learn it'
show 'diad learn --product ring --from-ledger --config diad.yaml'
began=$SECONDS
show 'diad learn --product ring --from-ledger --yes --config diad.yaml'
added=$((SECONDS - began))

step 'It passes'
# The camera shows the 24 pictures again and again, each in its turn.
turn=$(( $(api "parts/$key" | jq .seq) % 24 ))
newest=$(api 'parts?limit=1' | jq '.parts[0].seq')
until again=$(api 'parts?product=ring&limit=200' | jq -ce --argjson turn "$turn" --argjson newest "$newest" \
    '[.parts[] | select(.seq % 24 == $turn and .seq > $newest + 2)][0] // empty'); do sleep 1; done
show "curl -s http://127.0.0.1:$http/api/v1/parts/$(jq -r .key <<<"$again") | jq -c '{verdict, score, reject_at, witnesses}'"
verdict=$(jq -r .verdict <<<"$again")
printf '\nlearnt in %s s, added in %s s\n' "$learnt" "$added"
[ "$verdict" = PASS ] || { echo "walk: the part that was learnt is $verdict" >&2 && exit 1; }
