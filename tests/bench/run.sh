#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make bench: sidelift against the real kind, a local registry and a pipe, in one run
# on the same nodes.  Writes build/bench.json, a Markdown table (build/bench.md) and a
# plot (build/bench.svg).  tests/bench/bench.py says what can be set.
set -euo pipefail
cd "$(dirname "$0")/../.."
scripts/install-deps.sh all
own_engine=''
docker info >/dev/null 2>&1 || own_engine=yes
tests/bed/engine-up.sh
make --no-print-directory all
tests/bed/build.sh kind bookworm docker-sid docker-sid-containerd docker-newest
cleanup() {
	tests/bed/down.sh bench bench-graph bench-store bench-newest bench-loop
	docker images --format '{{.Repository}}:{{.Tag}}' | grep -E '^bench-|/bench-' | xargs -r docker rmi -f >/dev/null 2>&1 || true
	docker image prune -f --filter label=dev.sidelift.bench >/dev/null || true # see peers.py
	[ -z "$own_engine" ] || tests/bed/engine-down.sh
}
trap cleanup EXIT
KUBECONFIG=$(tests/bed/nodes-only.sh bench bookworm bookworm bookworm)
BENCH_GRAPH=$(tests/bed/engine.sh bench-graph docker-sid)
BENCH_STORE=$(tests/bed/engine.sh bench-store docker-sid-containerd)
BENCH_NEWEST=$(tests/bed/engine.sh bench-newest docker-newest)
export KUBECONFIG BENCH_GRAPH BENCH_STORE BENCH_NEWEST
python3 tests/bench/bench.py "$@"
