#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# down.sh NAME...|--all: remove clusters of the bed: containers, volumes, network
# and state.
set -euo pipefail
# shellcheck source=tests/bed/lib.sh
. "$(dirname "$0")/lib.sh"

remove() { # NAME
	local ids
	ids=$(docker ps -aq --filter "label=$BED_LABEL=$1")
	# shellcheck disable=SC2086
	[ -z "$ids" ] || docker rm -fv $ids >/dev/null
	docker network rm "bed-$1" >/dev/null 2>&1 || true
	rm -rf "$(state_dir "$1")"
}

[ $# -gt 0 ] || die "usage: down.sh NAME...|--all"
if [ "$1" = --all ]; then
	mapfile -t names < <({
		docker ps -a --filter "label=$BED_LABEL" --format "{{.Label \"$BED_LABEL\"}}"
		docker network ls --filter "label=$BED_LABEL" --format "{{.Label \"$BED_LABEL\"}}"
	} | sort -u)
	set -- "${names[@]}"
fi
for name in "$@"; do [ -z "$name" ] || remove "$name"; done
