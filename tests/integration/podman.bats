#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kind's podman provider, on podman itself: the images are in docker, the node is a
# container of podman's, which is found by itself and worked in through podman's API.

load helpers/common

setup_file() {
	mkdir -p /run/podman
	podman system service -t 0 unix:///run/podman/podman.sock >/dev/null 2>&1 3>&- &
	echo $! >"$BATS_FILE_TMPDIR/service"
	KUBECONFIG=$("$ROOT/tests/bed/podman-node.sh" podkind bookworm)
	export KUBECONFIG
}

teardown_file() {
	"$ROOT/tests/bed/podman-node.sh" --down podkind
	kill "$(cat "$BATS_FILE_TMPDIR/service")" || true
	rm -f /run/podman/podman.sock
	docker rmi -f podkind-app:dev >/dev/null 2>&1 || true
}

NODE=podkind-control-plane

config_there() {
	podman exec $NODE ctr -n k8s.io content get "$(podman exec $NODE ctr -n k8s.io images ls "name==\"$1\"" | awk 'NR == 2 { print $3 }')" | jq -r .config.digest
}

@test "the node is found on podman, with docker as the engine of the images" {
	run --separate-stderr "$SIDELIFT" context -o json
	[ "$status" = 0 ]
	[ "$(jq -r '[.cluster.name, .cluster.engine, .engine.url, (.cluster.proven | tostring)] | join(" ")' <<<"$output")" = \
		"podkind unix:///run/podman/podman.sock unix:///var/run/docker.sock true" ]
}

@test "first load, nothing to do, a changed layer, listed, removed" {
	new_image podkind-app:dev 1500
	run --separate-stderr "$SIDELIFT" load -o json podkind-app:dev
	[ "$status" = 0 ]
	[ "$(jq -r '.nodes[0] | .outcome + " " + (.layersSent | tostring)' <<<"$output")" = "loaded 2" ]
	[ "$(config_there docker.io/library/podkind-app:dev)" = "$(config_in_engine podkind-app:dev)" ]
	run --separate-stderr "$SIDELIFT" load podkind-app:dev
	[ "$status" = 0 ]
	[[ "$output" = *"present already"* ]]
	head -c 5000 /dev/urandom >"$CTX/top"
	build_image podkind-app:dev "$CTX"
	run --separate-stderr "$SIDELIFT" load -o json podkind-app:dev
	[ "$(jq -r '.nodes[0].layersSent' <<<"$output")" = 1 ]
	[ "$(jq -r '.nodes[0].bytesSent' <<<"$output")" -lt 12000 ]
	[ "$(config_there docker.io/library/podkind-app:dev)" = "$(config_in_engine podkind-app:dev)" ]
	run --separate-stderr "$SIDELIFT" images -o json
	[ "$(jq -r '.images[] | select(.name == "docker.io/library/podkind-app:dev") | .nodes[0].freshness' <<<"$output")" = current ]
	"$SIDELIFT" prune podkind-app:dev
	[ -z "$(podman exec $NODE ctr -n k8s.io images ls -q 'name~=podkind-app')" ]
}

@test "a node of podman's that is stopped" {
	podman stop -t 1 $NODE >/dev/null
	run --separate-stderr "$SIDELIFT" load --cluster kind/podkind podkind-app:dev
	podman start $NODE >/dev/null
	[ "$status" = 1 ]
	[[ "$stderr" = *"it is not running (exited); start it: podman start $NODE"* ]]
}
