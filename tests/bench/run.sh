#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make bench: sidelift against the real kind, in one run on the same nodes.
# Writes build/bench.json and a Markdown table, build/bench.md.
# BENCH_MB (default 1500) is the size of the large image, BENCH_RUNS the number
# of runs of what takes less than seconds.
set -euo pipefail
cd "$(dirname "$0")/../.."
scripts/install-deps.sh all
own_engine=''
docker info >/dev/null 2>&1 || own_engine=yes
tests/bed/engine-up.sh
make --no-print-directory all
tests/bed/build.sh kind bookworm
cleanup() {
	tests/bed/down.sh bench
	[ -z "$own_engine" ] || tests/bed/engine-down.sh
}
trap cleanup EXIT
KUBECONFIG=$(tests/bed/nodes-only.sh bench bookworm bookworm bookworm)
export KUBECONFIG
python3 tests/bench/bench.py "$@"
