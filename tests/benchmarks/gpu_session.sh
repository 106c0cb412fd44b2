#!/usr/bin/env bash
# All GPU benchmarks in one go, in less than 10 minutes, from the repository's root:
#   bash tests/benchmarks/gpu_session.sh [FOLDER]          (default: $OUT, else gpu-figures)
# Writes figures.json (after every step) and log.txt there. A step that fails or outlasts its limit is left out; the
# most important come first and the last takes what is left. A trial without a GPU, in minutes:
#   DEVICE=cpu CONFIG=small bash tests/benchmarks/gpu_session.sh /tmp/trial
set -uo pipefail
export PYTHONUNBUFFERED=1
python=${PYTHON:-python3}
device=${DEVICE:-cuda}
config=${CONFIG:-paper-96m}
out=$(mkdir -p "${1:-${OUT:-gpu-figures}}" && cd "${1:-${OUT:-gpu-figures}}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
total=570

# An installed package called "tests" would hide a folder without __init__.py: run from a copy that has them.
cp -r cranpm tests "$work"
for folder in tests tests/benchmarks tests/model; do touch "$work/$folder/__init__.py"; done
cd "$work" || exit 1

if [ "$device" = cuda ]; then
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$out/log.txt"
  graphs=--cuda-graphs; size="4192 6992"; matmul=8192
else
  : >"$out/log.txt"; graphs=""; size="320 448"; matmul=1024
fi

step() { # name, seconds at most, benchmark, its options
  local name=$1 limit=$2 benchmark=$3
  shift 3
  [ "$limit" -gt $((total - SECONDS)) ] && limit=$((total - SECONDS))
  [ "$limit" -gt 5 ] || { echo "== $name: no time left" | tee -a "$out/log.txt"; return; }
  echo "== $name, at ${SECONDS} s: $benchmark $*" | tee -a "$out/log.txt"
  timeout "$limit" "$python" -m "tests.benchmarks.$benchmark" --config "$config" --device "$device" --dtype bf16 \
    "$@" --json "$work/$name.json" 2>&1 | tee -a "$out/log.txt"
  "$python" - "$work" >"$out/figures.json" <<'PY'
import json, pathlib, sys
print(json.dumps({p.stem: json.loads(p.read_text()) for p in sorted(pathlib.Path(sys.argv[1]).glob("*.json"))}, indent=1))
PY
}

# shellcheck disable=SC2086
{
  step map_graphs 150 map_on_device --size $size --tiles 160,126 --batch 16,8,4,1 --channels-last $graphs
  step train 90 train_step --compare 2,4,8 --repeats 5
  step map_compiled 130 map_on_device --size $size --tiles 160,126 --batch 16 --channels-last --compile default $graphs
  step parts 80 parts --batch 1,16 --channels-last --profile --repeats 10 --matmul $matmul $graphs
  step parts_fp32 40 parts --dtype fp32 --batch 1,8 --repeats 5 --matmul $matmul
  step map_eager 40 map_on_device --size $size --tiles 160 --batch 16,1
  step map_tuned 400 map_on_device --size $size --tiles 160,126 --batch 16 --channels-last \
    --compile max-autotune-no-cudagraphs $graphs
}
echo "== done after ${SECONDS} s: $out/figures.json" | tee -a "$out/log.txt"
