#!/bin/bash
# Does the wheel install for 64-bit ARM, and does it score there what it scores here? Under qemu's user mode.
#
#   benchmarks/runtime/aarch64.sh MODEL IMAGES FOLDER [ONNXRUNTIME]
#
# On Debian 12, as root, with qemu-user-static and debootstrap. FOLDER gets an arm64 Debian with its Python 3.11
# (unpacked, never booted), the aarch64 wheels, arm.csv and here.csv. ONNXRUNTIME is a version: 1.32.0
# crashes under qemu 7.2 while it is imported, 1.23.2 does not.
set -eu
model=$(realpath "$1") images=$(realpath "$2") repository=$(realpath "$(dirname "$0")/../..")
mkdir -p "$3"
cd "$3"
mirror=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/debian.sources)
if [ ! -x root/usr/bin/python3.11 ]; then
  debootstrap --arch=arm64 --foreign --variant=minbase --include=python3,libstdc++6,libgomp1 bookworm root "$mirror"
  for package in root/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" root; done
fi
python3 -m pip wheel --quiet --no-deps --wheel-dir wheel "$repository"
python3 -m pip install --quiet --upgrade --target site --python-version 3.11 --only-binary=:all: \
  --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_17_aarch64 \
  wheel/*.whl "onnxruntime==${4:-1.23.2}"
arm() { PYTHONPATH=site PYTHONNOUSERSITE=1 qemu-aarch64-static -L root root/usr/bin/python3.11 -m onlygood "$@"; }
arm verify "$model"
arm score "$model" "$images" -f csv -o arm.csv
PYTHONPATH=$repository python3 -m onlygood score "$model" "$images" -f csv -o here.csv
python3 - << 'PROGRAM'
import csv

arm, here = ([row for row in csv.DictReader(open(name))] for name in ("arm.csv", "here.csv"))
largest = max(abs(float(row["score"])) for row in here)
off = max(abs(float(a["score"]) - float(b["score"])) for a, b in zip(arm, here, strict=True)) / largest
flips = sum(a["status"] != b["status"] for a, b in zip(arm, here, strict=True))
print(f"{len(here)} images: scores within {off:.1e} of the largest, {flips} other verdicts")
PROGRAM
