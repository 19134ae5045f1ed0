#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# down.sh NAME...|--all|--all-but NAME...: remove clusters of the bed: containers,
# volumes, network and state.  What the bed did not make stays.
set -euo pipefail
# shellcheck source=tests/bed/lib.sh
. "$(dirname "$0")/lib.sh"

clusters() { # the names of all that there is anything of
	docker ps -a --filter "label=$BED_LABEL" --format "{{.Label \"$BED_LABEL\"}}"
	docker network ls --filter "label=$BED_LABEL" --format "{{.Label \"$BED_LABEL\"}}"
	find "$BED_CACHE/state" -mindepth 1 -maxdepth 1 -type d -printf '%f\n'
}

no_network() { ! docker network inspect "bed-$1" || docker network rm "bed-$1"; }

remove() { # NAME
	local ids
	lock "cluster-$1"
	mapfile -t ids < <(docker ps -aq --filter "label=$BED_LABEL=$1")
	[ ${#ids[@]} = 0 ] || docker rm -fv "${ids[@]}" >/dev/null
	if [ "$(docker network inspect -f "{{index .Labels \"$BED_LABEL\"}}" "bed-$1" 2>/dev/null)" = "$1" ]; then
		wait_for 10 no_network "$1" || die "the network bed-$1 is still in use"
	fi
	# a cluster that is still there is somebody else's, and so its state
	[ -n "$(docker ps -aq --filter "label=io.x-k8s.kind.cluster=$1")" ] || rm -rf "$(state_dir "$1")"
}

[ $# -gt 0 ] || die "usage: down.sh NAME...|--all|--all-but NAME..."
engine_answers || die "no engine answers"
case $1 in
--all | --all-but)
	shift
	keep=" $* "
	mapfile -t names < <(clusters | sort -u)
	set --
	for name in "${names[@]}"; do [[ $keep == *" $name "* ]] || set -- "$@" "$name"; done
	;;
esac
for name in "$@"; do
	check_name "$name"
	remove "$name"
done
