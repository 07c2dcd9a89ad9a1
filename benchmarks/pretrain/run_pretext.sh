#!/bin/sh
# Every pretext task under one budget, PROCESSES (2) single-threaded ones at a time; finished runs are skipped.
#
#   benchmarks/pretrain/run_pretext.sh CIFAR10                    all tasks, seed 0: on all classes, then on one class alone
#   TASKS="simclr byol" SEEDS="1 2" benchmarks/pretrain/run_pretext.sh CIFAR10
set -eu
data=${1:?give the folder of CIFAR-10}
export PYTHONPATH="$(dirname "$0")/../..${PYTHONPATH:+:$PYTHONPATH}"
python=${PYTHON:-python}
tasks=${TASKS:-random supervised $("$python" -m onlygood tasks --json | "$python" -c 'import json, sys; print(*json.load(sys.stdin))')}

for good in ${GOOD:-all airplane automobile}; do
  for seed in ${SEEDS:-0}; do
    for task in $tasks; do
      case "$task $good" in "video-triplet "* | "supervised a"[iu]* | "s4l a"[iu]*) continue ;; esac
      printf '%s\0%s\0%s\0' "$task" "$seed" "$good"
    done
  done
done | PYTHON_RUN=$python DATA=$data xargs -0 -n 3 -P "${PROCESSES:-2}" sh -c '
  if [ "$2" = all ]; then set -- "$0" "$1"; else set -- "$0" "$1" --good "$2"; fi
  task=$1 seed=$2; shift 2
  exec "$PYTHON_RUN" -m benchmarks.pretrain.pretext "$DATA" --task "$task" --seed "$seed" "$@" </dev/null'
"$python" -m benchmarks.pretrain.pretext_table
