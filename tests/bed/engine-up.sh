#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# engine-up.sh: have Debian's dockerd answer at the default socket.  Starts it if
# nobody answers there, and remembers that it was us (engine-down.sh).  Leftovers
# of one that was killed - a dead socket, pid files whose numbers are others' by
# now - are no obstacle.
set -euo pipefail
# shellcheck source=tests/bed/lib.sh
. "$(dirname "$0")/lib.sh"

PID_FILE=/var/run/docker.pid
SOCKET=/var/run/docker.sock
CONTAINERD_PID_FILE=/var/run/docker/containerd/containerd.pid
LOG=$BED_CACHE/dockerd.log

# Whether the process that FILE names is alive and has PATTERN in its command line.
names() { # FILE PATTERN
	local pid
	[ -s "$1" ] && read -r pid <"$1" && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q "$2"
}

lock engine
if ! engine_answers && names "$PID_FILE" '^[^ ]*dockerd'; then
	say "there is a dockerd that does not answer, waiting"
	wait_for 60 engine_answers || die "dockerd ($(cat $PID_FILE)) does not answer"
fi
if engine_answers; then
	say "an engine answers: $(docker version -f '{{.Server.Version}}')"
	exit
fi
command -v dockerd >/dev/null || "$BED/../../scripts/install-deps.sh" test
command -v dockerd >/dev/null || die "no dockerd"

rm -f "$BED_CACHE/state/engine.pid" "$PID_FILE"
names "$CONTAINERD_PID_FILE" '/docker/containerd/containerd.toml' || rm -f "$CONTAINERD_PID_FILE"
if [ -d "$SOCKET" ]; then rmdir "$SOCKET"; else rm -f "$SOCKET"; fi

setsid nohup dockerd >"$LOG" 2>&1 </dev/null 9>&- &
pid=$!
echo "$pid" >"$BED_CACHE/state/engine.pid"
gone_or_answers() { ! kill -0 "$pid" || engine_answers; }
wait_for 90 gone_or_answers || true
if ! engine_answers; then
	kill "$pid" 2>/dev/null || true
	rm -f "$BED_CACHE/state/engine.pid"
	tail -20 "$LOG" >&2
	die "dockerd did not come up ($LOG)"
fi
say "started dockerd $(docker version -f '{{.Server.Version}}')"
