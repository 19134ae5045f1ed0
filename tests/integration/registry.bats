#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The registry exporter, with real engines: docker 29, docker 28 with the containerd
# image store and with a graph driver, and podman.  They build here; the nodes are the default
# engine's, as ever.

load helpers/common

NODE=registry-control-plane

setup_file() {
	KUBECONFIG=$("$ROOT/tests/bed/nodes-only.sh" registry bookworm newest 2>/dev/null)
	export KUBECONFIG
	STORE=$("$ROOT/tests/bed/engine.sh" registry-store docker-sid-containerd 2>/dev/null)
	GRAPH=$("$ROOT/tests/bed/engine.sh" registry-graph docker-sid 2>/dev/null)
	POD=$("$ROOT/tests/bed/engine.sh" registry-pod podman 2>/dev/null)
	export STORE GRAPH POD
}

teardown_file() { "$ROOT/tests/bed/down.sh" registry registry-store registry-graph registry-pod registry-far registry-newest registry-node; }

setup() {
	CTX=$BATS_TEST_TMPDIR/ctx
	mkdir "$CTX"
	head -c 300000 /dev/urandom >"$CTX/base"
	head -c 2000 /dev/urandom >"$CTX/top"
	printf 'FROM scratch\nCOPY base /base\nCOPY top /top\n' >"$CTX/Dockerfile"
	export HOME=$BATS_FILE_TMPDIR XDG_STATE_HOME=$BATS_FILE_TMPDIR/state
}

# with ENGINE COMMAND...
with() {
	local engine=$1
	shift
	DOCKER_HOST=$engine "$@"
}

build() { with "$1" docker build -q -t "$2" "$CTX" >/dev/null 2>&1; } # ENGINE TAG

nodes_docker() { env -u DOCKER_HOST docker "$@"; }

# Names for pushing that are left in the engine.
left() { with "$1" docker images --format '{{.Repository}}:{{.Tag}} {{.Digest}}' | grep -c '127.0.0.1\|localhost:' || true; }

sent() { jq -r '[.nodes[] | .layersSent] | unique | join(",")' <<<"$output"; }

# ENGINE TAG CANONICAL: a first load, a reload of the top layer, a change of nothing but the config
loads_what_is_lacking() {
	build "$1" "$2"
	run --separate-stderr with "$1" "$SIDELIFT" load -vv --exporter registry -o json "$2"
	[ "$status" = 0 ]
	[ "$(jq -r .exporter <<<"$output")" = registry ]
	[ "$(sent)" = 2 ]
	[[ "$stderr" != *images/get* ]]
	[ "$(file_on_node "$NODE" "$3" base)" = "$(hash_of "$CTX/base")" ]

	head -c 3000 /dev/urandom >"$CTX/top"
	build "$1" "$2"
	run --separate-stderr with "$1" "$SIDELIFT" load -v -o json "$2"
	[ "$status" = 0 ]
	[ "$(jq -r .exporter <<<"$output")" = registry ]
	[ "$(sent)" = 1 ]
	[ "$(file_on_node "$NODE" "$3" top)" = "$(hash_of "$CTX/top")" ]
	[ "$(file_on_node registry-worker "$3" top)" = "$(hash_of "$CTX/top")" ]

	echo 'ENV WHAT=another' >>"$CTX/Dockerfile"
	build "$1" "$2"
	run --separate-stderr with "$1" "$SIDELIFT" load -o json "$2"
	[ "$status" = 0 ]
	[ "$(sent)" = 0 ]
	[ "$(jq -r '.nodes[0].outcome' <<<"$output")" = loaded ]

	run --separate-stderr with "$1" "$SIDELIFT" load -o json "$2"
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[] | .outcome] | unique | join(",")' <<<"$output")" = present ]
	[ "$(jq -r '[.nodes[] | .bytesSent] | add' <<<"$output")" = 0 ]
	[ "$(left "$1")" = 0 ]
	with "$1" docker image inspect "$2" >/dev/null
}

@test "docker with the containerd image store" { loads_what_is_lacking "$STORE" reg-store:dev docker.io/library/reg-store:dev; }

@test "docker with a graph driver" { loads_what_is_lacking "$GRAPH" reg-graph:dev docker.io/library/reg-graph:dev; }

@test "docker 29, as the engine and in a node" {
	newest=$("$ROOT/tests/bed/engine.sh" registry-newest docker-newest 2>/dev/null)
	loads_what_is_lacking "$newest" reg-newest:dev docker.io/library/reg-newest:dev
	node=$(BED_PROVIDER=minikube "$ROOT/tests/bed/nodes-only.sh" registry-node docker-newest 2>/dev/null)
	run --separate-stderr with "$newest" env KUBECONFIG="$node" "$SIDELIFT" load -o json reg-newest:dev
	[ "$status" = 0 ]
	[ "$(sent)" = 2 ]
	head -c 4000 /dev/urandom >"$CTX/top"
	build "$newest" reg-newest:dev
	run --separate-stderr with "$newest" env KUBECONFIG="$node" "$SIDELIFT" load -o json reg-newest:dev
	[ "$status" = 0 ]
	[ "$(sent)" = 1 ]
	docker exec registry-node docker create --name see reg-newest:dev /none
	docker exec registry-node docker cp see:/top - | tar -xO | cmp - "$CTX/top"
}

@test "podman" { loads_what_is_lacking "$POD" localhost/reg-pod:dev localhost/reg-pod:dev; }

@test "large layers come packed and go straight into the snapshot, the lower one first" {
	head -c 9000000 /dev/urandom >"$CTX/base"
	yes "a line that packs well" | head -c 30000000 >"$CTX/top"
	build "$STORE" reg-large:dev
	run --separate-stderr with "$STORE" "$SIDELIFT" load -v --importer direct -o json reg-large:dev
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[] | .importer] | unique | join(",")' <<<"$output")" = direct ]
	[ "$(grep -c 'goes straight into a snapshot' <<<"$stderr")" = 4 ]
	for node in "$NODE" registry-worker; do
		[ "$(file_on_node "$node" docker.io/library/reg-large:dev base)" = "$(hash_of "$CTX/base")" ]
		[ "$(file_on_node "$node" docker.io/library/reg-large:dev top)" = "$(hash_of "$CTX/top")" ]
	done
}

@test "several images in one call: a layer that they share comes once" {
	build "$STORE" reg-share:a
	cp "$CTX/top" "$BATS_TEST_TMPDIR/top-a"
	head -c 2000 /dev/urandom >"$CTX/top"
	build "$STORE" reg-share:b
	run --separate-stderr with "$STORE" "$SIDELIFT" load -o json reg-share:a reg-share:b
	[ "$status" = 0 ]
	[ "$(sent)" = 3 ]
	[ "$(file_on_node "$NODE" docker.io/library/reg-share:a top)" = "$(hash_of "$BATS_TEST_TMPDIR/top-a")" ]
	[ "$(file_on_node "$NODE" docker.io/library/reg-share:b top)" = "$(hash_of "$CTX/top")" ]
	[ "$(left "$STORE")" = 0 ]
}

@test "an index with attestations, and platforms that are not there; a new one for the same image moves nothing" {
	python3 "$BATS_TEST_DIRNAME/helpers/oci.py" "$BATS_TEST_TMPDIR/oci.tar" reg-index:dev
	with "$STORE" docker load -q -i "$BATS_TEST_TMPDIR/oci.tar"
	first=$(with "$STORE" docker image inspect -f '{{.Id}}' reg-index:dev)
	run --separate-stderr with "$STORE" "$SIDELIFT" load -v -o json reg-index:dev
	[ "$status" = 0 ]
	[ "$(jq -r .exporter <<<"$output")" = registry ]
	[ "$(sent)" = 2 ]
	# as a cached build with provenance does it
	with "$STORE" docker rmi -f reg-index:dev >/dev/null
	PROVENANCE=another python3 "$BATS_TEST_DIRNAME/helpers/oci.py" "$BATS_TEST_TMPDIR/oci.tar" reg-index:dev
	with "$STORE" docker load -q -i "$BATS_TEST_TMPDIR/oci.tar"
	[ "$(with "$STORE" docker image inspect -f '{{.Id}}' reg-index:dev)" != "$first" ]
	run --separate-stderr with "$STORE" "$SIDELIFT" load -o json reg-index:dev
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[] | .outcome] | unique | join(",")' <<<"$output")" = present ]
	[ "$(jq -r '[.nodes[] | .bytesSent] | add' <<<"$output")" = 0 ]
}

@test "registry and save give the node the same image" {
	build "$STORE" reg-same:dev
	with "$STORE" "$SIDELIFT" load -q --exporter registry reg-same:dev
	a=$(config_on_node "$NODE" docker.io/library/reg-same:dev)
	wipe "$NODE" registry-worker
	with "$STORE" "$SIDELIFT" load -q --exporter save reg-same:dev
	[ "$(config_on_node "$NODE" docker.io/library/reg-same:dev)" = "$a" ]
	[ -n "$a" ]
}

@test "a graph driver that would have to pack everything is asked for an export instead" {
	build "$GRAPH" reg-all:dev
	run --separate-stderr with "$GRAPH" "$SIDELIFT" load -v -o json reg-all:dev
	[ "$status" = 0 ]
	[ "$(jq -r .exporter <<<"$output")" = save ]
	[[ "$stderr" == *"exporter registry is passed over: the engine would have to pack every layer first"* ]]
}

@test "an engine with another loopback is not pushed from" {
	far=$(BED_ENGINE_NETWORK=none "$ROOT/tests/bed/engine.sh" registry-far docker-sid-containerd 2>/dev/null)
	build "$far" reg-far:dev
	run --separate-stderr with "$far" "$SIDELIFT" load -vv -o json reg-far:dev
	[ "$status" = 0 ]
	[ "$(jq -r .exporter <<<"$output")" = save ]
	[[ "$stderr" == *"exporter registry is passed over: the engine does not reach this process at 127.0.0.1:"* ]]
	[[ "$stderr" != */push* ]]
	[ "$(left "$far")" = 0 ]
	head -c 2000 /dev/urandom >"$CTX/top"
	build "$far" reg-far:dev
	run --separate-stderr with "$far" "$SIDELIFT" load --exporter registry reg-far:dev
	[ "$status" = 1 ]
	[[ "$stderr" == *"the engine does not reach this process"* ]]
	"$ROOT/tests/bed/down.sh" registry-far
}

@test "killed or interrupted in the middle: no name stays in the engine" {
	head -c 150000000 /dev/urandom >"$CTX/base"
	build "$STORE" reg-kill:dev
	for delay in 0.3 0.6 1.0; do
		DOCKER_HOST=$STORE "$SIDELIFT" load -q --exporter registry reg-kill:dev 2>/dev/null &
		pid=$!
		sleep $delay
		kill -TERM $pid
		wait $pid && code=0 || code=$?
		[ $code = 143 ]
		[ "$(left "$STORE")" = 0 ]
		[ -z "$(find "$XDG_STATE_HOME/sidelift" -name 'pushing-*')" ]
	done
	DOCKER_HOST=$STORE "$SIDELIFT" load -q --exporter registry reg-kill:dev 2>/dev/null &
	pid=$!
	for _ in $(seq 100); do
		[ "$(left "$STORE")" = 0 ] || break
		sleep 0.02
	done
	kill -KILL $pid
	wait $pid || true
	[ "$(left "$STORE")" = 1 ]
	[ -n "$(find "$XDG_STATE_HOME/sidelift" -name 'pushing-*')" ]
	run --separate-stderr with "$STORE" "$SIDELIFT" load -v --exporter registry reg-kill:dev
	[ "$status" = 0 ]
	[[ "$stderr" == *"which another run left in the engine"* ]]
	[ "$(left "$STORE")" = 0 ]
	[ -z "$(find "$XDG_STATE_HOME/sidelift" -name 'pushing-*')" ]
	[ "$(file_on_node "$NODE" docker.io/library/reg-kill:dev base)" = "$(hash_of "$CTX/base")" ]
}

@test "the last name of an image is not taken with ours" {
	head -c 100000000 /dev/urandom >"$CTX/base"
	build "$GRAPH" reg-last:dev
	old=$(with "$GRAPH" docker image inspect -f '{{.Id}}' reg-last:dev)
	DOCKER_HOST=$GRAPH "$SIDELIFT" load -q --exporter registry reg-last:dev &
	pid=$!
	for _ in $(seq 100); do
		[ "$(left "$GRAPH")" = 0 ] || break
		sleep 0.02
	done
	# built anew meanwhile: the old image has no name but ours
	head -c 2000 /dev/urandom >"$CTX/top"
	build "$GRAPH" reg-last:dev
	wait $pid
	[ "$(left "$GRAPH")" = 0 ]
	with "$GRAPH" docker image inspect "$old" >/dev/null
	[ "$(with "$GRAPH" docker image inspect -f '{{.Id}}' reg-last:dev)" != "$old" ]
}

@test "two at once" {
	build "$STORE" reg-two:a
	head -c 40000000 /dev/urandom >"$CTX/top"
	build "$STORE" reg-two:b
	with "$STORE" "$SIDELIFT" load -q --exporter registry reg-two:a &
	with "$STORE" "$SIDELIFT" load -q --exporter registry reg-two:b
	wait $!
	[ "$(config_on_node "$NODE" docker.io/library/reg-two:a)" != "$(config_on_node "$NODE" docker.io/library/reg-two:b)" ]
	[ "$(left "$STORE")" = 0 ]
}

@test "60 reloads leave what the engine knows of the user's registries alone" {
	port=$((21000 + RANDOM % 1000))
	printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:%s"}\n' "$BATS_TEST_TMPDIR/registry" $port >"$BATS_TEST_TMPDIR/registry.yml"
	docker-registry serve "$BATS_TEST_TMPDIR/registry.yml" >/dev/null 2>&1 3>&- &
	registry=$!
	build "$GRAPH" reg-memory:dev
	with "$GRAPH" docker tag reg-memory:dev 127.0.0.1:$port/theirs:dev
	for _ in $(seq 50); do ! curl -fs "http://127.0.0.1:$port/v2/" >/dev/null || break; sleep 0.1; done
	with "$GRAPH" docker push -q 127.0.0.1:$port/theirs:dev
	kill $registry
	known() { nodes_docker exec registry-graph sh -c 'cat /var/lib/docker/image/overlay2/distribution/v2metadata-by-diffid/sha256/*' | grep -o '"Digest":"[^"]*","SourceRepository":"'"$1" | sort | uniq -c; }
	before=$(known 127.0.0.1:$port/theirs)
	[ -n "$before" ]
	sed -i '/COPY top/d' "$CTX/Dockerfile"
	for i in $(seq 60); do
		(cat "$CTX/Dockerfile"; echo "ENV ROUND=$i") | with "$GRAPH" docker build -q -t reg-memory:dev -f - "$CTX" >/dev/null 2>&1
		with "$GRAPH" "$SIDELIFT" load -q --node "$NODE" --exporter registry reg-memory:dev
	done
	[ "$(known 127.0.0.1:$port/theirs)" = "$before" ]
	# one place for each layer, however often
	[ "$(known '127.0.0.1:[0-9]*/sidelift' | awk '$1 != 1' | wc -l)" = 0 ]
	[ -n "$(known '127.0.0.1:[0-9]*/sidelift')" ]
}

@test "a home that cannot be written: the next way" {
	build "$STORE" reg-home:dev
	run --separate-stderr env DOCKER_HOST="$STORE" XDG_STATE_HOME=/proc/none "$SIDELIFT" load -v -o json reg-home:dev
	[ "$status" = 0 ]
	[ "$(jq -r .exporter <<<"$output")" = save ]
	[[ "$stderr" == *"exporter registry is passed over: /proc/none/sidelift/registry cannot be written"* ]]
}
