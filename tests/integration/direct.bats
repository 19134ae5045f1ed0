#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Layers straight into snapshots, on each containerd of the bed; the judge is
# containerd's own unpacking of the same layers in the same node.

load helpers/common

setup_file() {
	KUBECONFIG=$("$ROOT/tests/bed/nodes-only.sh" direct bookworm trixie sid newest 2>/dev/null)
	export KUBECONFIG
}

teardown_file() {
	"$ROOT/tests/bed/down.sh" direct
	docker images --format '{{.Repository}}:{{.Tag}}' | grep '^direct-' | xargs -r docker rmi -f >/dev/null 2>&1 || true
}

NODES=(direct-control-plane direct-worker direct-worker2 direct-worker3)
LAYERS=$BATS_TEST_DIRNAME/helpers/layers.py

# Nothing is left in the node when the images are gone: no snapshot, label, lease, blob.
gone_without_rest() { # NODE...
	local node _
	for node in "$@"; do
		for _ in 1 2 3 4 5; do wipe "$node" 2>/dev/null; sleep 0.2; done
		run docker exec "$node" sh -c 'ctr -n k8s.io snapshots ls | sed 1d; ctr -n k8s.io leases ls -q; ctr -n k8s.io content ls -q; ls -A /tmp | grep -v ^look' 2>/dev/null
		[ -z "$(grep -v 'level=warning' <<<"$output")" ]
	done
}

# large_image TAG: one layer that is worth the direct way, and a small one
large_image() {
	CTX=$BATS_TEST_TMPDIR/ctx
	mkdir -p "$CTX/base"
	for i in 1 2 3 4 5 6 7 8; do head -c 1500000 /dev/urandom >"$CTX/base/f$i"; done
	echo top >"$CTX/top"
	printf 'FROM scratch\nCOPY base /base\nCOPY top /top\n' >"$CTX/Dockerfile"
	build_image "$1" "$CTX"
}

# same_as_import FILE NODE...: what FILE's images become, both ways
same_as_import() {
	local file=$1 since node chosen=()
	shift
	since=$(date +%s)
	for node in "$@"; do chosen+=(--node "$node"); done
	"$SIDELIFT" load -q --importer import "${chosen[@]}" -i "$file"
	for node in "$@"; do python3 "$LAYERS" dump "$node" "$BATS_TEST_TMPDIR/import-$node" "$file"; done
	gone_without_rest "$@"
	run --separate-stderr "$SIDELIFT" load -v -o json --importer direct "${chosen[@]}" -i "$file"
	[ "$status" = 0 ]
	[[ "$stderr" = *"straight into a snapshot"* ]]
	[[ "$stderr" != *"by import instead"* ]]
	for node in "$@"; do
		python3 "$LAYERS" dump "$node" "$BATS_TEST_TMPDIR/direct-$node" "$file"
		python3 "$LAYERS" compare "$BATS_TEST_TMPDIR/import-$node" "$BATS_TEST_TMPDIR/direct-$node" "$since"
		rm "$BATS_TEST_TMPDIR"/*-"$node"
	done
}

@test "a large layer goes straight into the snapshot, and no blob stays beside it" {
	large_image direct-first:dev
	run --separate-stderr "$SIDELIFT" load -v -o json direct-first:dev
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[] | .importer] | unique | join(",")' <<<"$output")" = mixed ]
	[ "$(grep -c 'goes straight into a snapshot' <<<"$stderr")" = 4 ]
	for node in "${NODES[@]}"; do
		[ "$(config_on_node "$node" docker.io/library/direct-first:dev)" = "$(config_in_engine direct-first:dev)" ]
		[ "$(file_on_node "$node" docker.io/library/direct-first:dev base/f8)" = "$(hash_of "$CTX/base/f8")" ]
		[ "$(docker exec "$node" sh -c 'du -sk /var/lib/containerd/io.containerd.content.v1.content/blobs | cut -f1')" -lt 1000 ]
		docker exec "$node" ctr -n k8s.io images check "name==docker.io/library/direct-first:dev" 2>/dev/null | grep -q 'true *$'
		docker exec "$node" sh -c 'for s in $(ctr -n k8s.io snapshots ls | sed 1d | cut -d" " -f1); do ctr -n k8s.io snapshots info $s; done' 2>/dev/null >"$BATS_TEST_TMPDIR/infos"
		! grep gc.root "$BATS_TEST_TMPDIR/infos"
	done
	run --separate-stderr "$SIDELIFT" load direct-first:dev
	[ "$(grep -c 'present already' <<<"$output")" = 4 ]
	gone_without_rest "${NODES[@]}"
}

@test "--importer decides, and is one of three" {
	large_image direct-choice:dev
	run --separate-stderr "$SIDELIFT" load -o json --importer import direct-choice:dev
	[ "$(jq -r '[.nodes[] | .importer] | unique | join(",")' <<<"$output")" = import ]
	gone_without_rest "${NODES[@]}"
	run --separate-stderr "$SIDELIFT" load -o json --importer direct direct-choice:dev
	[ "$(jq -r '[.nodes[] | .importer] | unique | join(",")' <<<"$output")" = direct ]
	gone_without_rest "${NODES[@]}"
	run "$SIDELIFT" load --importer magic direct-choice:dev
	[ "$status" = 2 ]
	[[ "$output" = *"--importer is direct, import or auto, not 'magic'"* ]]
}

@test "each special case becomes what containerd makes of it" {
	python3 "$LAYERS" cases "$BATS_TEST_TMPDIR/cases.tar"
	same_as_import "$BATS_TEST_TMPDIR/cases.tar" "${NODES[@]}"
	gone_without_rest "${NODES[@]}"
}

@test "200 random stacks of layers become what containerd makes of them" {
	for i in 0 1 2 3; do
		python3 "$LAYERS" random "$BATS_TEST_TMPDIR/random.tar" $((i * 50 + 1)) 50
		same_as_import "$BATS_TEST_TMPDIR/random.tar" "${NODES[i]}"
		gone_without_rest "${NODES[i]}"
	done
}

@test "a Debian root file system, and removals on top of it" {
	mkdir "$BATS_TEST_TMPDIR/debian"
	printf 'FROM sidelift-bed-base:bookworm\nRUN rm -rf /usr/share/doc /etc/apt && mkdir /etc/apt && mv /usr/share/zoneinfo /opt/ && echo x >/etc/motd && chmod 4750 /bin/ls\n' \
		>"$BATS_TEST_TMPDIR/debian/Dockerfile"
	build_image direct-debian:dev "$BATS_TEST_TMPDIR/debian"
	since=$(date +%s)
	"$SIDELIFT" load -q --node direct-worker --importer import direct-debian:dev
	python3 "$LAYERS" dump direct-worker "$BATS_TEST_TMPDIR/import" docker:direct-debian:dev
	gone_without_rest direct-worker
	run --separate-stderr "$SIDELIFT" load -v --node direct-worker --importer direct direct-debian:dev
	[ "$status" = 0 ]
	[[ "$stderr" = *"straight into a snapshot"* ]]
	[[ "$stderr" != *"by import"* ]]
	python3 "$LAYERS" dump direct-worker "$BATS_TEST_TMPDIR/direct" docker:direct-debian:dev
	python3 "$LAYERS" compare "$BATS_TEST_TMPDIR/import" "$BATS_TEST_TMPDIR/direct" "$since"
	gone_without_rest direct-worker
}

@test "hostile layers change nothing else in the node" {
	python3 "$LAYERS" hostile "$BATS_TEST_TMPDIR/hostile.tar"
	outside='find /etc /root /usr/local /opt /tmp /run/bed-ready -printf "%p %y %m %u %s %T@ %l\n" | sort'
	for node in "${NODES[@]}"; do docker exec "$node" sh -c "$outside" >"$BATS_TEST_TMPDIR/$node"; done
	run --separate-stderr "$SIDELIFT" load -v --importer direct -i "$BATS_TEST_TMPDIR/hostile.tar"
	[[ "$stderr" = *"straight into a snapshot"* ]]
	for node in "${NODES[@]}"; do
		diff "$BATS_TEST_TMPDIR/$node" <(docker exec "$node" sh -c "$outside")
	done
	gone_without_rest "${NODES[@]}"
}

@test "a large layer that is not mastered is imported, the node is none the worse" {
	python3 "$LAYERS" unmastered "$BATS_TEST_TMPDIR/odd.tar"
	run --separate-stderr "$SIDELIFT" load -v -o json -i "$BATS_TEST_TMPDIR/odd.tar"
	[ "$status" = 0 ]
	[[ "$stderr" = *"'d' is in the layer twice, as different things; by import instead"* ]]
	[ "$(jq -r '[.nodes[] | .importer] | unique | join(",")' <<<"$output")" = import ]
	gone_without_rest "${NODES[@]}"
}

@test "two loads of the same layers at once, and containerd importing them meanwhile" {
	large_image direct-race:dev
	docker save direct-race:dev -o "$BATS_TEST_TMPDIR/saved.tar"
	"$SIDELIFT" load -q --importer direct direct-race:dev &
	one=$!
	"$SIDELIFT" load -q --importer direct direct-race:dev &
	two=$!
	docker exec -i direct-worker2 ctr -n k8s.io images import - <"$BATS_TEST_TMPDIR/saved.tar" >/dev/null
	wait $one
	wait $two
	for node in "${NODES[@]}"; do
		[ "$(config_on_node "$node" docker.io/library/direct-race:dev)" = "$(config_in_engine direct-race:dev)" ]
		[ "$(file_on_node "$node" docker.io/library/direct-race:dev base/f8)" = "$(hash_of "$CTX/base/f8")" ]
	done
	gone_without_rest "${NODES[@]}"
}

@test "killed at 40 points: the whole image or none, and nothing left" {
	large_image direct-kill:dev
	for i in $(seq 40); do
		"$SIDELIFT" load -q --importer direct direct-kill:dev &
		pid=$!
		sleep "$(awk -v i="$i" 'BEGIN { print 0.05 * i }')"
		kill -KILL $pid 2>/dev/null || true
		wait $pid 2>/dev/null || true
		if [ $((i % 10)) = 0 ]; then
			for node in "${NODES[@]}"; do
				for _ in $(seq 60); do
					[ -n "$(docker exec "$node" sh -c 'ps ax -o args= | grep "^sh.*[s]idelift"')" ] || break
					sleep 0.25
				done
				if config_on_node "$node" docker.io/library/direct-kill:dev >/dev/null; then
					[ "$(file_on_node "$node" docker.io/library/direct-kill:dev base/f8)" = "$(hash_of "$CTX/base/f8")" ]
				fi
			done
			gone_without_rest "${NODES[@]}"
		fi
	done
}

@test "what a script left that was killed in the node, the next load takes back" {
	large_image direct-left:dev
	for node in "${NODES[@]}"; do
		for point in 0.3 0.6 0.9 1.2 1.5; do
			"$SIDELIFT" load -q --node "$node" --importer direct direct-left:dev &
			pid=$!
			sleep $point
			docker exec "$node" pkill -KILL -f 'sh -c.*sidelift' || true
			kill -KILL $pid 2>/dev/null || true
			wait $pid 2>/dev/null || true
		done
		"$SIDELIFT" load -q --node "$node" --importer direct direct-left:dev
		"$SIDELIFT" load -q --node "$node" --importer direct direct-left:dev
	done
	gone_without_rest "${NODES[@]}"
}

@test "containerd started anew has the image still" {
	large_image direct-again:dev
	"$SIDELIFT" load -q --importer direct direct-again:dev
	for node in "${NODES[@]}"; do
		docker exec "$node" pkill -x containerd
		for _ in $(seq 40); do
			! docker exec "$node" ctr -n k8s.io images ls -q >/dev/null 2>&1 || break
			docker exec -d "$node" sh -c 'pgrep -x containerd || containerd'
			sleep 0.5
		done
		[ "$(file_on_node "$node" docker.io/library/direct-again:dev base/f8)" = "$(hash_of "$CTX/base/f8")" ]
	done
	gone_without_rest "${NODES[@]}"
}
