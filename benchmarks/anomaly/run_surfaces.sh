#!/bin/sh
# Every surface run, two single-threaded processes at a time; finished ones are skipped, so it can be run again.
#
#   benchmarks/anomaly/run_surfaces.sh DATA        DATA holds magnetic_tile, kolektor and bottle, as folders or .zip archives
#   RECIPES="surfaces" SEEDS="0" benchmarks/anomaly/run_surfaces.sh DATA
set -eu
data=${1:?give the folder that holds magnetic_tile, kolektor and bottle}
status=0
export PYTHONPATH="$(dirname "$0")/../..${PYTHONPATH:+:$PYTHONPATH}"
python=${PYTHON:-python}

archive() { if [ -d "$data/$1" ]; then printf '%s' "$data/$1"; else printf '%s' "$data/$1.zip"; fi; }

for recipe in ${RECIPES:-surfaces deep-svdd-tiles}; do
  for seed in ${SEEDS:-0 1 2}; do
    printf '%s\0%s\0%s\0%s\0%s\0' "$(archive magnetic_tile)" magnetic-tile random "$recipe" "$seed"
    printf '%s\0%s\0%s\0%s\0%s\0' "$(archive magnetic_tile)" magnetic-tile grouped "$recipe" "$seed"
    printf '%s\0%s\0%s\0%s\0%s\0' "$(archive kolektor)" kolektor grouped "$recipe" "$seed"
    printf '%s\0%s\0%s\0%s\0%s\0' "$(archive bottle)" bottle given "$recipe" "$seed"
  done
done | PYTHON_RUN=$python xargs -0 -n 5 -P 2 sh -c \
  'exec "$PYTHON_RUN" -m benchmarks.anomaly.surfaces "$0" --dataset "$1" --split "$2" --recipe "$3" --seed "$4" --threads 1 </dev/null' \
  || status=$?
"$python" -m benchmarks.anomaly.surfaces --table
exit "$status"
