# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the tests of load share.  `load helpers/common` in a bats file.

bats_require_minimum_version 1.5.0
ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
SIDELIFT=${SIDELIFT:-$ROOT/build/release/sidelift}
# a run that was killed leaves nodes with images in them
export SIDELIFT DOCKER_BUILDKIT=0 BED_FRESH=1
# the bed's kubectl: the one that a machine has may ask the network first, for seconds
PATH=$(. "$ROOT/tests/bed/lib.sh" && echo "$BED_BIN"):$PATH
unset KIND_CLUSTER_NAME SIDELIFT_CLUSTER SIDELIFT_KUBE_CONTEXT

# What the last command said belongs to a failure.
teardown() {
	[ -n "${BATS_TEST_COMPLETED:-}" ] || printf 'exit code %s\n%s\n%s\n' "${status:-}" "${output:-}" "${stderr:-}"
}

# build_image TAG DIR: DIR has a Dockerfile
build_image() { docker build -q -t "$1" "$2" >/dev/null 2>&1; }

# new_image TAG [KILOBYTES]: two layers of random bytes, in $BATS_TEST_TMPDIR/NAME
new_image() {
	CTX=$BATS_TEST_TMPDIR/ctx
	mkdir -p "$CTX"
	head -c "$((${2:-100} * 1000))" /dev/urandom >"$CTX/base"
	head -c 3000 /dev/urandom >"$CTX/top"
	printf 'FROM scratch\nCOPY base /base\nCOPY top /top\nENV WHAT=first\n' >"$CTX/Dockerfile"
	build_image "$1" "$CTX"
}

config_in_engine() { docker image inspect -f '{{.Id}}' "$1"; }

# config_on_node NODE CANONICAL-NAME: what the name stands for there
config_on_node() {
	local target
	target=$(docker exec "$1" ctr -n k8s.io images ls "name==\"$2\"" | awk 'NR == 2 { print $3 }')
	[ -n "$target" ] || return 1
	docker exec "$1" ctr -n k8s.io content get "$target" | jq -r .config.digest
}

# file_on_node NODE CANONICAL-NAME PATH: hash of a file of the unpacked image
file_on_node() {
	# each time at another place: ctr may not have let go of the last one
	docker exec "$1" sh -c 'at=/tmp/look-$$
		mkdir $at && ctr -n k8s.io images mount "$0" $at >/dev/null && sha256sum <$at/"$1" | cut -d" " -f1
		ctr -n k8s.io images unmount --rm $at >/dev/null && rmdir $at' "$2" "$3"
}

hash_of() { sha256sum <"$1" | cut -d' ' -f1; }

# Everything that a load could leave behind, in nodes and on the host.
state_of() { # NODE...
	local node
	for node in "$@"; do
		echo "== $node"
		docker exec "$node" sh -c '
			ctr -n k8s.io images ls -q | sort
			ctr -n k8s.io content ls -q | sort
			ctr -n k8s.io content active | sed 1d | cut -f1
			ctr -n k8s.io snapshots ls | sed 1d | sort
			ctr -n k8s.io leases ls -q
			ls /tmp
			ps ax -o args= | grep -c "[s]idelift" || true' 2>/dev/null
	done
	echo "== host"
	docker images --format '{{.Repository}}:{{.Tag}}' | grep -E "^${1%%-*}-|sidelift|^127\." | sort
	find /tmp -maxdepth 1 -name '*sidelift*' -not -path "${BATS_RUN_TMPDIR:-/none}*" -not -name 'sidelift-bench*' | sort
	docker inspect -f '{{.Name}} {{.State.Status}} {{.ExecIDs}}' "$@"
}

# same_state_soon BEFORE NODE...: within 15 s everything is as it was
same_state_soon() {
	local before=$1 after _
	shift
	for _ in $(seq 30); do
		after=$(state_of "$@")
		[ "$before" != "$after" ] || return 0
		sleep 0.5
	done
	diff <(echo "$before") <(echo "$after")
	return 1
}

# Empty the nodes.
wipe() {
	local node
	for node in "$@"; do
		docker exec "$node" sh -c 'names=$(ctr -n k8s.io images ls -q); [ -z "$names" ] || ctr -n k8s.io images rm --sync $names >/dev/null'
	done
}

# build_talker TAG TEXT [WHAT]: a program that prints TEXT, and WHAT from its
# environment, and stays
build_talker() {
	local dir=$BATS_FILE_TMPDIR/talker
	mkdir -p "$dir"
	cat >"$dir/main.c" <<-'C'
	#include <signal.h>
	#include <stdio.h>
	#include <stdlib.h>
	#include <unistd.h>
	static void end(int n) { (void)n; _exit(0); }
	int main(void) { const char *what = getenv("WHAT"); signal(SIGTERM, end); printf("%s%s%s\n", TEXT, what ? " " : "", what ? what : ""); fflush(stdout); for (;;) pause(); }
	C
	gcc -Os -static -DTEXT="\"$2\"" -o "$dir/app" "$dir/main.c"
	printf 'FROM scratch\nCOPY app /app\nENTRYPOINT ["/app"]\n' >"$dir/Dockerfile"
	[ $# -lt 3 ] || echo "ENV WHAT=$3" >>"$dir/Dockerfile"
	build_image "$1" "$dir"
}

# pods_say TEXT: the pod of each node, which is named as the node
pods_say() {
	local node got _
	for node in "${NODES[@]}"; do
		for _ in $(seq 150); do
			got=$(kubectl logs "$node" 2>/dev/null) || got=
			[ "$got" != "$1" ] || break
			sleep 0.2
		done
		[ "$got" = "$1" ] || { echo "$node says '$got', not '$1'"; kubectl describe pod "$node" | tail -15; return 1; }
	done
}
