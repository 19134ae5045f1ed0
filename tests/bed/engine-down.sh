#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# engine-down.sh: stop the dockerd that engine-up.sh started; no other.
set -euo pipefail
# shellcheck source=tests/bed/lib.sh
. "$(dirname "$0")/lib.sh"

file=$BED_CACHE/state/engine.pid
[ -s "$file" ] || { say "the engine is not ours"; exit; }
pid=$(cat "$file")
rm -f "$file"
grep -qa dockerd "/proc/$pid/cmdline" 2>/dev/null || exit 0
kill "$pid"
gone() { ! kill -0 "$pid" 2>/dev/null; }
wait_for 30 gone || { kill -9 "$pid"; die "dockerd had to be killed"; }
say "stopped dockerd"
