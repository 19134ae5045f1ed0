#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# engine-up.sh: have Debian's dockerd answer at the default socket.  Starts it if
# nobody answers there, and remembers that it was us (engine-down.sh).  Leftovers
# of one that was killed - a dead socket, pid files - are no obstacle.
set -euo pipefail
# shellcheck source=tests/bed/lib.sh
. "$(dirname "$0")/lib.sh"

if engine_answers; then
	say "an engine answers: $(docker version -f '{{.Server.Version}}')"
	exit
fi
command -v dockerd >/dev/null || die "no dockerd; run scripts/install-deps.sh test"
for pid in /var/run/docker.pid /var/run/docker/containerd/containerd.pid; do
	[ -s "$pid" ] || continue
	if ! kill -0 "$(cat "$pid")" 2>/dev/null || ! grep -qa 'dockerd\|containerd' "/proc/$(cat "$pid")/cmdline"; then
		rm -f "$pid"
	fi
done
rm -f "$BED_CACHE/state/engine.pid"
[ ! -S /var/run/docker.sock ] || pgrep -x dockerd >/dev/null || rm -f /var/run/docker.sock
setsid nohup dockerd >"$BED_CACHE/dockerd.log" 2>&1 </dev/null &
pid=$!
if ! wait_for 60 engine_answers; then
	tail -20 "$BED_CACHE/dockerd.log" >&2
	die "dockerd did not come up ($BED_CACHE/dockerd.log)"
fi
echo "$pid" >"$BED_CACHE/state/engine.pid"
say "started dockerd $(docker version -f '{{.Server.Version}}')"
