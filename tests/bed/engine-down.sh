#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# engine-down.sh: stop the dockerd that engine-up.sh started, and no other; back
# when it and its containerd are gone.
set -euo pipefail
# shellcheck source=tests/bed/lib.sh
. "$(dirname "$0")/lib.sh"

lock engine
file=$BED_CACHE/state/engine.pid
[ -s "$file" ] || { say "the engine is not ours"; exit; }
pid=$(cat "$file")
containerd=$(cat /var/run/docker/containerd/containerd.pid 2>/dev/null) || containerd=

# stop PID PATTERN: if it is still what it was; SIGKILL after a while
stop() {
	alive() { kill -0 "$1" && tr '\0' ' ' <"/proc/$1/cmdline" | grep -q "$2"; }
	gone() { ! alive "$@"; }
	alive "$@" 2>/dev/null || return 0
	kill "$1"
	wait_for 45 gone "$@" && return
	say "$1 has to be killed"
	kill -9 "$1"
	wait_for 5 gone "$@"
}
stop "$pid" dockerd
[ -z "$containerd" ] || stop "$containerd" /docker/containerd/containerd.toml
rm -f "$file"
say "stopped dockerd"
