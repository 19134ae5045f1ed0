#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What goes wrong: each with its own message and exit code, the other nodes
# undisturbed, and nothing left behind.

load helpers/common

NODES=(refuse-control-plane refuse-worker refuse-worker2)
GOOD=(refuse-control-plane refuse-worker)

setup_file() {
	# the last node's disk has 48 MB
	KUBECONFIG=$(BED_NODE_TMPFS=48m "$ROOT/tests/bed/nodes-only.sh" refuse bookworm newest trixie 2>/dev/null)
	export KUBECONFIG
	export BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR
	new_image refuse-small:dev 200
	docker save -o "$BATS_FILE_TMPDIR/small.tar" refuse-small:dev
	export SMALL=$BATS_FILE_TMPDIR/small.tar
}

teardown_file() {
	"$ROOT/tests/bed/down.sh" refuse refuse2
	docker images --format '{{.Repository}}:{{.Tag}}' | grep '^refuse-' | xargs -r docker rmi -f >/dev/null 2>&1 || true
}

setup() { wipe "${NODES[@]}"; }

# refuses CODE TEXT COMMAND...: with that code, saying that, leaving all as it was
refuses() {
	local code=$1 text=$2 before
	shift 2
	before=$(state_of "${NODES[@]}")
	run --separate-stderr "$@"
	[ "$status" = "$code" ] || { echo "exit $status, not $code: $output $stderr"; return 1; }
	[[ "$stderr" = *"$text"* ]] || { echo "'$stderr' does not say '$text'"; return 1; }
	same_state_soon "$before" "${NODES[@]}"
}

@test "an image that does not exist: all that are missing are named, nothing moves" {
	refuses 1 "no image 'refuse-none:1', 'refuse-none:2' in the engine at unix:///var/run/docker.sock" \
		"$SIDELIFT" load refuse-none:1 refuse-small:dev refuse-none:2
}

@test "an image's ID instead of its name" {
	id=$(docker image inspect -f '{{.Id}}' refuse-small:dev)
	refuses 2 "is an image ID; a pod refers to an image by name, so name it: refuse-small:dev" "$SIDELIFT" load "${id:7:12}"
	refuses 2 "is an image ID" "$SIDELIFT" load "$id"
}

@test "what is no image name" {
	refuses 2 "sidelift: " "$SIDELIFT" load 'Upper'
	refuses 2 "sidelift: " "$SIDELIFT" load 'a b'
	refuses 2 "no image; name one" "$SIDELIFT" load
	refuses 2 "unknown command 'laod'" "$SIDELIFT" laod x
	refuses 2 "--sideways" "$SIDELIFT" load --sideways x
}

@test "no engine at all" {
	refuses 1 "no engine answers at unix:///nowhere/docker.sock" env DOCKER_HOST=unix:///nowhere/docker.sock "$SIDELIFT" load refuse-small:dev
	refuses 2 "use unix://, tcp:// or ssh://" "$SIDELIFT" --docker-host ftp://host load refuse-small:dev
}

@test "something else at the engine's socket: garbage, nothing, silence, no end" {
	for kind in garbage closed notfound endless; do
		python3 "$BATS_TEST_DIRNAME/helpers/peer.py" "$BATS_TEST_TMPDIR/peer.sock" $kind 3>&- &
		peer=$!
		sleep 0.5
		run --separate-stderr timeout 40 "$SIDELIFT" --docker-host "unix://$BATS_TEST_TMPDIR/peer.sock" load refuse-small:dev
		kill $peer
		[ "$status" = 1 ]
		[[ "$stderr" = *"peer.sock"* || "$stderr" = *"the engine says"* ]]
	done
	python3 "$BATS_TEST_DIRNAME/helpers/peer.py" "$BATS_TEST_TMPDIR/peer.sock" silence 3>&- &
	peer=$!
	sleep 0.5
	run --separate-stderr timeout 40 "$SIDELIFT" --timeout 2s --docker-host "unix://$BATS_TEST_TMPDIR/peer.sock" load refuse-small:dev
	kill $peer
	[ "$status" = 1 ]
	[[ "$stderr" = *"not done within 2s (--timeout)"* ]]
}

@test "a context that is somewhere else is refused, whatever it is called" {
	sed -e 's#server: "[^"]*"#server: "https://203.0.113.1:6443"#' "$KUBECONFIG" >"$BATS_TEST_TMPDIR/remote.yaml"
	refuses 5 "context 'kind-refuse' (https://203.0.113.1:6443) is not provably a local cluster" \
		"$SIDELIFT" --kubeconfig "$BATS_TEST_TMPDIR/remote.yaml" load refuse-small:dev
	refuses 5 "is not provably a local cluster" env KUBECONFIG="$BATS_TEST_TMPDIR/remote.yaml" "$SIDELIFT" load -i "$SMALL"
}

@test "the right address with a foreign CA is refused" {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null -out "$BATS_TEST_TMPDIR/ca.crt" -days 2 -subj /CN=other 2>/dev/null
	sed -e "s#certificate-authority-data: [^}]*#certificate-authority-data: $(base64 -w0 <"$BATS_TEST_TMPDIR/ca.crt")#" "$KUBECONFIG" >"$BATS_TEST_TMPDIR/foreign.yaml"
	refuses 5 "trusts another certificate authority than that cluster has" "$SIDELIFT" --kubeconfig "$BATS_TEST_TMPDIR/foreign.yaml" load refuse-small:dev
	refuses 5 "trusts another certificate authority" "$SIDELIFT" --kubeconfig "$BATS_TEST_TMPDIR/foreign.yaml" load --node refuse-worker refuse-small:dev
	sed -e 's#, certificate-authority-data: [^}]*##' "$KUBECONFIG" >"$BATS_TEST_TMPDIR/none.yaml"
	refuses 5 "names no certificate authority" "$SIDELIFT" --kubeconfig "$BATS_TEST_TMPDIR/none.yaml" load refuse-small:dev
}

@test "a renamed context is taken for what it is" {
	sed -e 's/kind-refuse/production/g' "$KUBECONFIG" >"$BATS_TEST_TMPDIR/renamed.yaml"
	run "$SIDELIFT" --kubeconfig "$BATS_TEST_TMPDIR/renamed.yaml" load --node refuse-worker refuse-small:dev
	[ "$status" = 0 ]
}

@test "kubeconfigs: missing, broken, without such a context" {
	refuses 1 "No such file" "$SIDELIFT" --kubeconfig "$BATS_TEST_TMPDIR/absent" load refuse-small:dev
	printf 'contexts: [\n' >"$BATS_TEST_TMPDIR/broken.yaml"
	refuses 1 "broken.yaml:" "$SIDELIFT" --kubeconfig "$BATS_TEST_TMPDIR/broken.yaml" load refuse-small:dev
	refuses 1 "has no context 'nope'" "$SIDELIFT" --kube-context nope load refuse-small:dev
}

@test "two clusters and none named: both are named; --cluster and KIND_CLUSTER_NAME choose" {
	"$ROOT/tests/bed/nodes-only.sh" refuse2 bookworm 2>/dev/null
	empty=$BATS_TEST_TMPDIR/no-home
	mkdir -p "$empty"
	run --separate-stderr env -u KUBECONFIG HOME="$empty" "$SIDELIFT" load refuse-small:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"several clusters run here ("*"kind/refuse"*"choose one by --cluster"* ]]
	run --separate-stderr env -u KUBECONFIG HOME="$empty" "$SIDELIFT" --cluster kind/refuse2 load refuse-small:dev
	[ "$status" = 0 ]
	config_on_node refuse2-control-plane docker.io/library/refuse-small:dev
	run --separate-stderr env -u KUBECONFIG HOME="$empty" KIND_CLUSTER_NAME=refuse2 "$SIDELIFT" load refuse-small:dev
	[ "$status" = 0 ]
	[[ "$output" = *"present already"* ]]
	run --separate-stderr "$SIDELIFT" --cluster kind/absent load refuse-small:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"no cluster 'kind/absent' on this engine"* ]]
	"$ROOT/tests/bed/down.sh" refuse2
}

# others_loaded_but NODE TEXT: exit 3, that node named with its cause, the others loaded
others_loaded_but() {
	local node
	[ "$status" = 3 ] || { echo "exit $status: $output $stderr"; return 1; }
	[[ "$stderr" = *"node '$1': "*"$2"* ]] || { echo "'$stderr' does not say '$2' of $1"; return 1; }
	for node in "${NODES[@]}"; do
		[ "$node" = "$1" ] || [ "$(config_on_node "$node" docker.io/library/refuse-small:dev)" = "$(config_in_engine refuse-small:dev)" ] || return 1
	done
}

@test "a node that is stopped: the others are loaded, exit 3" {
	docker stop -t 1 refuse-worker >/dev/null
	run --separate-stderr "$SIDELIFT" load refuse-small:dev
	docker start refuse-worker >/dev/null
	others_loaded_but refuse-worker "it is not running (exited); start it: docker start refuse-worker"
	for _ in $(seq 50); do docker exec refuse-worker test -e /run/bed-ready && break; sleep 0.2; done
}

@test "a node whose containerd hangs: the others are loaded in bounded time, exit 3" {
	docker exec refuse-worker pkill -STOP -x containerd
	before=$SECONDS
	run --separate-stderr timeout 60 "$SIDELIFT" load refuse-small:dev
	docker exec refuse-worker pkill -CONT -x containerd
	others_loaded_but refuse-worker "its containerd does not answer"
	[ $((SECONDS - before)) -lt 40 ]
}

@test "a node whose containerd is gone: the others are loaded, exit 3" {
	docker exec refuse-control-plane sh -c 'mv /usr/bin/containerd /usr/bin/containerd.away; pkill -x containerd; sleep 1'
	run --separate-stderr timeout 60 "$SIDELIFT" load refuse-small:dev
	docker exec refuse-control-plane mv /usr/bin/containerd.away /usr/bin/containerd
	for _ in $(seq 50); do docker exec refuse-control-plane ctr version >/dev/null 2>&1 && break; sleep 0.2; done
	others_loaded_but refuse-control-plane "containerd"
}

@test "a node whose disk is full: the others are loaded, exit 3, and it is as it was" {
	new_image refuse-large:dev 70000
	before=$(state_of refuse-worker2)
	run --separate-stderr "$SIDELIFT" load refuse-large:dev
	[ "$status" = 3 ]
	[[ "$stderr" = *"node 'refuse-worker2': "*"no space left on device"* ]]
	for node in "${GOOD[@]}"; do
		[ "$(config_on_node "$node" docker.io/library/refuse-large:dev)" = "$(config_in_engine refuse-large:dev)" ]
	done
	[[ "$stderr" != *"once more"* ]]
	# images of the host are not the node's
	same_state_soon "$before" refuse-worker2
}

@test "what is left of a failed import is never taken for commands" {
	docker save refuse-small:dev | docker exec -i refuse-worker2 ctr -n k8s.io images import - >/dev/null
	new_image refuse-lines:dev 100
	# if its lines were read as commands, the image above would lose its name
	yes 'untag docker.io/library/refuse-small:dev' | head -c 90000000 >"$CTX/top"
	build_image refuse-lines:dev "$CTX"
	run --separate-stderr "$SIDELIFT" load --node refuse-worker2 refuse-lines:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"no space left on device"* ]]
	sleep 1
	config_on_node refuse-worker2 docker.io/library/refuse-small:dev
}

@test "the name keeps standing for the old image where the new one fails" {
	new_image refuse-keep:dev 100
	"$SIDELIFT" load -q refuse-keep:dev
	old=$(config_in_engine refuse-keep:dev)
	head -c 70000000 /dev/urandom >"$CTX/top"
	build_image refuse-keep:dev "$CTX"
	run --separate-stderr "$SIDELIFT" load refuse-keep:dev
	[ "$status" = 3 ]
	[ "$(config_on_node refuse-worker2 docker.io/library/refuse-keep:dev)" = "$old" ]
	[ "$(config_on_node refuse-worker docker.io/library/refuse-keep:dev)" = "$(config_in_engine refuse-keep:dev)" ]
}

@test "an import that breaks is repeated once, with the whole image, and the others are not disturbed" {
	new_image refuse-again:dev
	"$SIDELIFT" load -q --node refuse-control-plane --node refuse-worker refuse-again:dev
	head -c 4000 /dev/urandom >"$CTX/top"
	build_image refuse-again:dev "$CTX"
	# the real ctr, but for its next N imports
	for broken in 1 2; do
		docker exec -i refuse-control-plane sh -c 'cat >/usr/local/sbin/ctr; chmod +x /usr/local/sbin/ctr; echo '$broken' >/run/broken' <<-'S'
		#!/bin/sh
		left=$(cat /run/broken)
		case "$*" in
		*"images import"*)
			[ "$left" = 0 ] || { echo $((left - 1)) >/run/broken; echo "ctr: something broke" >&2; exit 1; } ;;
		esac
		exec /usr/bin/ctr "$@"
		S
		run --separate-stderr "$SIDELIFT" load -o json --node refuse-control-plane --node refuse-worker refuse-again:dev
		docker exec refuse-control-plane rm /usr/local/sbin/ctr /run/broken
		[[ "$stderr" = *"warning: node 'refuse-control-plane': ctr images import failed: ctr: something broke (exit code 1); trying once more with the whole image"* ]]
		[ "$(config_on_node refuse-worker docker.io/library/refuse-again:dev)" = "$(config_in_engine refuse-again:dev)" ]
		if [ $broken = 1 ]; then
			[ "$status" = 0 ]
			[ "$(jq -r '.nodes[] | select(.name == "refuse-control-plane") | .layersSent' <<<"$output")" = 3 ]
			[ "$(config_on_node refuse-control-plane docker.io/library/refuse-again:dev)" = "$(config_in_engine refuse-again:dev)" ]
			sed -i 's/WHAT=first/WHAT=second/' "$CTX/Dockerfile"
			head -c 4000 /dev/urandom >"$CTX/top"
			build_image refuse-again:dev "$CTX"
		else
			[ "$status" = 3 ]
			[[ "$stderr" = *"node 'refuse-control-plane': ctr images import failed: ctr: something broke"* ]]
		fi
	done
}

@test "a node that stalls in the middle holds nobody up, and is served after them" {
	new_image refuse-stall:dev 150000
	"$SIDELIFT" load -v --importer import --node refuse-control-plane --node refuse-worker refuse-stall:dev >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/said" 3>&- &
	pid=$!
	sleep 1
	docker exec refuse-worker pkill -STOP -x containerd
	for _ in $(seq 60); do
		config_on_node refuse-control-plane docker.io/library/refuse-stall:dev >/dev/null && break
		sleep 0.5
	done
	first=$(config_on_node refuse-control-plane docker.io/library/refuse-stall:dev) || true
	docker exec refuse-worker pkill -CONT -x containerd
	got=0
	wait $pid || got=$?
	[ "$first" = "$(config_in_engine refuse-stall:dev)" ]
	grep -q "node 'refuse-worker' is far slower than the others; it is served after them" "$BATS_TEST_TMPDIR/said"
	[ "$got" = 0 ]
	[ "$(config_on_node refuse-worker docker.io/library/refuse-stall:dev)" = "$first" ]
}

@test "archives: cut off anywhere, no tar, empty, a directory, absent" {
	size=$(stat -c %s "$SMALL")
	for at in 100 512 5000 150000 $((size / 2)) $((size - 3000)) $((size - 12000)); do
		head -c "$at" "$SMALL" >"$BATS_TEST_TMPDIR/cut.tar"
		refuses 1 "cut.tar: " "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/cut.tar"
		run --separate-stderr bash -c '"$SIDELIFT" load -i - < <(cat "$0")' "$BATS_TEST_TMPDIR/cut.tar"
		[ "$status" = 1 ]
	done
	head -c 30000 /dev/urandom >"$BATS_TEST_TMPDIR/noise"
	refuses 1 "not a tar archive" "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/noise"
	: >"$BATS_TEST_TMPDIR/empty"
	refuses 1 "empty: " "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/empty"
	refuses 1 "is a directory" "$SIDELIFT" load -i "$BATS_TEST_TMPDIR"
	refuses 1 "No such file" "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/absent.tar"
	refuses 2 "image names do not go with it" "$SIDELIFT" load -i "$SMALL" refuse-small:dev
}

@test "archives: a layer that does not match its digest" {
	python3 "$BATS_TEST_DIRNAME/helpers/damage.py" "$SMALL" "$BATS_TEST_TMPDIR/flip.tar" flip
	refuses 1 "does not match its digest" "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/flip.tar"
	refuses 1 "does not match its digest" bash -c 'cat "$0" | "$SIDELIFT" load -i -' "$BATS_TEST_TMPDIR/flip.tar"
}

@test "archives: names with ../ and absolute names do nothing" {
	python3 "$BATS_TEST_DIRNAME/helpers/damage.py" "$SMALL" "$BATS_TEST_TMPDIR/dots.tar" dots
	run "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/dots.tar"
	[ "$status" = 0 ]
	[ ! -e /tmp/sidelift-escaped ]
	for node in "${NODES[@]}"; do
		docker exec "$node" test ! -e /tmp/sidelift-escaped
		[ "$(config_on_node "$node" docker.io/library/refuse-small:dev)" = "$(config_in_engine refuse-small:dev)" ]
	done
}

@test "archives: an image for another architecture" {
	python3 "$BATS_TEST_DIRNAME/helpers/damage.py" "$SMALL" "$BATS_TEST_TMPDIR/arch.tar" arch
	refuses 1 "is for s390x, but node 'refuse-control-plane' is amd64" "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/arch.tar"
	refuses 1 "is for s390x" bash -c 'cat "$0" | "$SIDELIFT" load -i -' "$BATS_TEST_TMPDIR/arch.tar"
}

# The direct way is too fast to be met halfway; direct.bats kills it in its own way.

@test "interrupted by SIGINT or SIGTERM: exit 128+N, and everything is as it was" {
	new_image refuse-interrupt:dev 300000
	before=$(state_of "${GOOD[@]}")
	for try in 'INT 130 0.4' 'INT 130 1.5' 'TERM 143 1.0' 'TERM 143 2.5'; do
		read -r signal code delay <<<"$try"
		"$SIDELIFT" load --importer import --node refuse-control-plane --node refuse-worker refuse-interrupt:dev >/dev/null 2>"$BATS_TEST_TMPDIR/said" 3>&- &
		pid=$!
		sleep "$delay"
		kill -"$signal" $pid
		run wait $pid
		got=0
		wait $pid || got=$?
		[ "$got" = "$code" ] || { echo "exit $got: $(cat "$BATS_TEST_TMPDIR/said")"; false; }
		grep -q interrupted "$BATS_TEST_TMPDIR/said"
		same_state_soon "$before" "${GOOD[@]}"
	done
}

@test "killed by SIGKILL: within seconds everything is as it was" {
	new_image refuse-kill:dev 300000 # more than a node takes in within the longest delay
	before=$(state_of "${GOOD[@]}")
	for delay in 0.1 0.3 0.6 1.0 1.5 2.0 2.5 3.0; do
		"$SIDELIFT" load --importer import --node refuse-control-plane --node refuse-worker refuse-kill:dev >/dev/null 2>&1 3>&- &
		pid=$!
		sleep "$delay"
		kill -KILL $pid
		wait $pid || true
		same_state_soon "$before" "${GOOD[@]}"
	done
}

@test "--timeout ends a load and takes back what is half done" {
	new_image refuse-timeout:dev 150000
	refuses 1 "not done within 1500ms (--timeout)" "$SIDELIFT" load --importer import --timeout 1500ms --node refuse-control-plane refuse-timeout:dev
	refuses 2 "is not a time" "$SIDELIFT" load --timeout soon refuse-timeout:dev
}

@test "what a node has to do after the end is done, each time: a staging name whose process is gone is swept by the next load" {
	docker save refuse-small:dev | docker exec -i refuse-worker ctr -n k8s.io images import - >/dev/null
	new_image refuse-sweep:dev
	for i in $(seq 15); do
		docker exec refuse-worker ctr -n k8s.io images tag docker.io/library/refuse-small:dev sidelift.invalid/staging/p99999:s0123-0 >/dev/null
		echo "$i" >"$CTX/top"
		build_image refuse-sweep:dev "$CTX"
		run "$SIDELIFT" load --node refuse-worker refuse-sweep:dev
		[ "$status" = 0 ]
		for _ in $(seq 40); do # when nobody waits any more
			left=$(docker exec refuse-worker ctr -n k8s.io images ls 2>/dev/null | grep sidelift.invalid) || break
			sleep 0.25
		done
		[ -z "$left" ] || { printf 'load %s\n' "$i" "$left" "$output" "$(docker top refuse-worker)"; return 1; }
	done
	config_on_node refuse-worker docker.io/library/refuse-small:dev
}

@test "a full standard output is an error" {
	[ -e /dev/full ]
	run bash -c '"$SIDELIFT" load refuse-small:dev >/dev/full'
	[ "$status" = 1 ]
	[[ "$output" = *"standard output: No space left on device"* ]]
}
