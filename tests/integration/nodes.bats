#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What arrives in the nodes, on each containerd of the bed at once.

load helpers/common

setup_file() {
	KUBECONFIG=$("$ROOT/tests/bed/nodes-only.sh" nodes bookworm trixie sid newest 2>/dev/null)
	export KUBECONFIG
}

teardown_file() {
	"$ROOT/tests/bed/down.sh" nodes
	docker images --format '{{.Repository}}:{{.Tag}}' | grep '^nodes-' | xargs -r docker rmi -f >/dev/null 2>&1 || true
}

NODES=(nodes-control-plane nodes-worker nodes-worker2 nodes-worker3)

# all_have TAG [CANONICAL]: every node's name stands for the engine's image
all_have() {
	local node
	for node in "${NODES[@]}"; do
		[ "$(config_on_node "$node" "${2:-docker.io/library/$1}")" = "$(config_in_engine "$1")" ] || return 1
	done
}

@test "a first load brings every layer to every node, unpacked" {
	new_image nodes-first:dev
	run --separate-stderr "$SIDELIFT" load -o json nodes-first:dev
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[] | .outcome] | unique | join(",")' <<<"$output")" = loaded ]
	[ "$(jq -r '[.nodes[] | .layersSent] | unique | join(",")' <<<"$output")" = 2 ]
	all_have nodes-first:dev
	for node in "${NODES[@]}"; do
		[ "$(file_on_node "$node" docker.io/library/nodes-first:dev base)" = "$(hash_of "$CTX/base")" ]
	done
}

@test "a second load sends nothing and exports nothing" {
	new_image nodes-second:dev
	"$SIDELIFT" load -q nodes-second:dev
	run --separate-stderr "$SIDELIFT" load -vv nodes-second:dev
	[ "$status" = 0 ]
	[ "$(grep -c 'present already' <<<"$output")" = 4 ]
	[[ "$stderr" != *images/get* ]]
	[[ "$stderr" != *exporter* ]]
	[[ "$stderr" != *"node command: stage"* ]]
}

@test "of a rebuilt image only the new layer travels, and little besides" {
	new_image nodes-reload:dev 2000
	"$SIDELIFT" load -q nodes-reload:dev
	head -c 700000 /dev/urandom >"$CTX/top"
	build_image nodes-reload:dev "$CTX"
	run --separate-stderr "$SIDELIFT" load -o json nodes-reload:dev
	[ "$status" = 0 ]
	docker save nodes-reload:dev -o "$BATS_TEST_TMPDIR/saved.tar"
	tar -C "$BATS_TEST_TMPDIR" -xf "$BATS_TEST_TMPDIR/saved.tar"
	entry=$(jq -c '.[0]' "$BATS_TEST_TMPDIR/manifest.json")
	layer=$(stat -c %s "$BATS_TEST_TMPDIR/$(jq -r '.Layers[-1]' <<<"$entry")")
	config=$(stat -c %s "$BATS_TEST_TMPDIR/$(jq -r .Config <<<"$entry")")
	for node in "${NODES[@]}"; do
		[ "$(jq -r ".nodes[] | select(.name == \"$node\") | .layersSent" <<<"$output")" = 1 ]
		# the layer, the config, the manifest (about 600 bytes), 1 KiB for each layer
		[ "$(jq -r ".nodes[] | select(.name == \"$node\") | .bytesSent" <<<"$output")" -le $((layer + config + 600 + 2 * 1024)) ]
		[ "$(file_on_node "$node" docker.io/library/nodes-reload:dev top)" = "$(hash_of "$CTX/top")" ]
	done
	all_have nodes-reload:dev
}

@test "a change of nothing but ENV arrives" {
	new_image nodes-env:dev
	"$SIDELIFT" load -q nodes-env:dev
	sed -i 's/WHAT=first/WHAT=second/' "$CTX/Dockerfile"
	build_image nodes-env:dev "$CTX"
	run --separate-stderr "$SIDELIFT" load -o json nodes-env:dev
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[] | .layersSent] | unique | join(",")' <<<"$output")" = 0 ]
	all_have nodes-env:dev
	for node in "${NODES[@]}"; do
		docker exec "$node" ctr -n k8s.io content get "$(config_on_node "$node" docker.io/library/nodes-env:dev)" | grep -q WHAT=second
	done
}

@test "a new name for what is there moves no layer and asks for no export" {
	new_image nodes-name:one
	"$SIDELIFT" load -q nodes-name:one
	# the CRI plugin's record of the config comes a moment after
	docker tag nodes-name:one nodes-name:two
	sleep 1
	run --separate-stderr "$SIDELIFT" load -vv nodes-name:two
	[ "$status" = 0 ]
	[[ "$stderr" = *"only the name is missing"* ]]
	[[ "$stderr" != *images/get* ]]
	all_have nodes-name:two
}

@test "several images in one call: a layer that they share travels once" {
	new_image nodes-share:a 1500
	sed 's/COPY top/COPY other/' "$CTX/Dockerfile" >"$CTX/Dockerfile.b"
	echo other >"$CTX/other"
	mv "$CTX/Dockerfile.b" "$CTX/Dockerfile"
	build_image nodes-share:b "$CTX"
	run --separate-stderr "$SIDELIFT" load -o json nodes-share:a nodes-share:b
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[] | .layersSent] | unique | join(",")' <<<"$output")" = 3 ]
	[ "$(jq '[.nodes[] | .bytesSent] | max' <<<"$output")" -lt 1700000 ]
	all_have nodes-share:a
	all_have nodes-share:b
}

@test "by the engine's save as well: several images, shared layers once" {
	new_image nodes-shared:a 1500
	cp "$CTX/top" "$CTX/again"
	printf 'FROM nodes-shared:a\nCOPY again /again\nCOPY top /top2\n' >"$CTX/Dockerfile"
	build_image nodes-shared:b "$CTX"
	run --separate-stderr "$SIDELIFT" load --exporter save -o json nodes-shared:a nodes-shared:b
	[ "$status" = 0 ]
	[ "$(jq '[.nodes[] | .bytesSent] | max' <<<"$output")" -lt 1700000 ]
	all_have nodes-shared:a
	all_have nodes-shared:b
}

@test "an image of 120 layers, and then its middle changed" {
	mkdir "$BATS_TEST_TMPDIR/many"
	{
		echo 'FROM scratch'
		for i in $(seq 120); do
			echo "$i" >"$BATS_TEST_TMPDIR/many/f$i"
			echo "COPY f$i /f$i"
		done
	} >"$BATS_TEST_TMPDIR/many/Dockerfile"
	build_image nodes-many:dev "$BATS_TEST_TMPDIR/many"
	run --separate-stderr "$SIDELIFT" load -o json nodes-many:dev
	[ "$status" = 0 ]
	# all of them again only where an import broke, which is then said
	[ "$(jq -r '[.nodes[] | .layersSent] | unique | join(",")' <<<"$output")" = 120 ] || [[ "$stderr" = *"trying once more with the whole image"* ]]
	all_have nodes-many:dev
	echo changed >"$BATS_TEST_TMPDIR/many/f61"
	build_image nodes-many:dev "$BATS_TEST_TMPDIR/many"
	for way in store save; do
		run --separate-stderr "$SIDELIFT" load -o json --exporter $way nodes-many:dev
		[ "$status" = 0 ]
		all_have nodes-many:dev
		[ $way = save ] || [ "$(jq -r '[.nodes[] | .layersSent] | max' <<<"$output")" -le 60 ]
	done
}

@test "no layer at all, a layer twice, an empty layer" {
	mkdir "$BATS_TEST_TMPDIR/odd"
	printf 'FROM scratch\nENV ONLY=this\n' >"$BATS_TEST_TMPDIR/odd/Dockerfile"
	build_image nodes-none:dev "$BATS_TEST_TMPDIR/odd"
	run "$SIDELIFT" load nodes-none:dev
	[ "$status" = 0 ]
	all_have nodes-none:dev
	echo same >"$BATS_TEST_TMPDIR/odd/same"
	printf 'FROM scratch\nCOPY same /same\nWORKDIR /w\nCOPY same /same\nWORKDIR /\nCOPY same /same\n' >"$BATS_TEST_TMPDIR/odd/Dockerfile"
	build_image nodes-twice:dev "$BATS_TEST_TMPDIR/odd"
	for way in save store; do
		wipe "${NODES[@]}"
		run "$SIDELIFT" load --exporter $way nodes-twice:dev
		[ "$status" = 0 ]
		all_have nodes-twice:dev
	done
}

@test "names with a registry, a port, a path, upper case in the domain" {
	new_image nodes-names:dev
	for name in example.com/team/app:v1 localhost:5000/app:v1 registry.local:443/a/b/c:x_Y.z docker.io/library/nodes-plain; do
		docker tag nodes-names:dev "$name"
		run "$SIDELIFT" load "$name"
		[ "$status" = 0 ]
	done
	all_have nodes-names:dev example.com/team/app:v1
	all_have nodes-names:dev localhost:5000/app:v1
	all_have nodes-names:dev registry.local:443/a/b/c:x_Y.z
	all_have nodes-names:dev docker.io/library/nodes-plain:latest
	docker rmi example.com/team/app:v1 localhost:5000/app:v1 registry.local:443/a/b/c:x_Y.z >/dev/null
}

@test "a name with a digest stands in the node under that digest" {
	storage=$BATS_TEST_TMPDIR/registry
	mkdir "$storage"
	printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:5077"}\n' "$storage" >"$BATS_TEST_TMPDIR/registry.yml"
	docker-registry serve "$BATS_TEST_TMPDIR/registry.yml" >/dev/null 2>&1 3>&- &
	registry=$!
	for _ in $(seq 50); do curl -fs http://127.0.0.1:5077/v2/ >/dev/null && break; sleep 0.1; done
	new_image 127.0.0.1:5077/digest:dev
	docker push -q 127.0.0.1:5077/digest:dev >/dev/null
	name=$(docker image inspect -f '{{index .RepoDigests 0}}' 127.0.0.1:5077/digest:dev)
	kill $registry
	[[ "$name" = 127.0.0.1:5077/digest@sha256:* ]]
	run "$SIDELIFT" load "$name"
	[ "$status" = 0 ]
	all_have "$name" "$name"
	docker exec nodes-control-plane crictl inspecti "$name" | grep -q "$(config_in_engine "$name")"
	docker rmi -f 127.0.0.1:5077/digest:dev >/dev/null
}

@test "--node loads there and nowhere else" {
	new_image nodes-one:dev
	run "$SIDELIFT" load --node nodes-worker2 nodes-one:dev
	[ "$status" = 0 ]
	config_on_node nodes-worker2 docker.io/library/nodes-one:dev
	run config_on_node nodes-worker docker.io/library/nodes-one:dev
	[ "$status" = 1 ]
	run "$SIDELIFT" load --node nodes-worker9 nodes-one:dev
	[ "$status" = 1 ]
	[[ "$output" = *"has no node 'nodes-worker9' (it has: nodes-control-plane, nodes-worker, nodes-worker2, nodes-worker3)"* ]]
}

@test "layers' blobs do not stay where containerd is told to discard them" {
	new_image nodes-discard:dev 900
	"$SIDELIFT" load -q nodes-discard:dev
	for node in "${NODES[@]}"; do
		for _ in $(seq 20); do
			[ "$(docker exec "$node" ctr -n k8s.io content ls | grep -c '900.*kB\|902.*kB' || true)" = 0 ] && break
			sleep 0.1
		done
		[ -z "$(docker exec "$node" ctr -n k8s.io content ls -q | grep -F -e "$(docker image inspect -f '{{index .RootFS.Layers 0}}' nodes-discard:dev)")" ]
	done
}

@test "no import- names and no staging names, ever" {
	for node in "${NODES[@]}"; do
		[ -z "$(docker exec "$node" ctr -n k8s.io images ls -q | grep -E 'import-|sidelift\.invalid')" ]
	done
}

@test "--dry-run says what each node lacks and loads nothing" {
	new_image nodes-dry:dev
	before=$(state_of "${NODES[@]}")
	run --separate-stderr "$SIDELIFT" load --dry-run nodes-dry:dev
	[ "$status" = 0 ]
	[ "$(grep -c 'lacks 2 of 2 layers' <<<"$output")" = 4 ]
	run --separate-stderr "$SIDELIFT" load --dry-run -o json nodes-dry:dev
	[ "$(jq -r '.kind, .version, .nodes[0].images[0].missingLayers' <<<"$output" | xargs)" = "LoadPlan 1 2" ]
	same_state_soon "$before" "${NODES[@]}"
}

@test "--dry-run counts in bytes what each node would be sent, and what kind load would send" {
	new_image nodes-bytes:dev 400
	"$SIDELIFT" load -q nodes-bytes:dev
	head -c 7000 /dev/urandom >"$CTX/top"
	build_image nodes-bytes:dev "$CTX"
	run --separate-stderr "$SIDELIFT" load --dry-run -o json nodes-bytes:dev
	docker save nodes-bytes:dev | tar -C "$BATS_TEST_TMPDIR" -xf -
	layers=$(jq -r '.[0].Layers[]' "$BATS_TEST_TMPDIR/manifest.json" | while read -r layer; do stat -c %s "$BATS_TEST_TMPDIR/$layer"; done)
	[ "$(jq -r '.nodes[0].images[0].layers[].bytes' <<<"$output")" = "$layers" ]
	[ "$(jq -r '[.nodes[].images[0].bytesToSend] | unique | join(" ")' <<<"$output")" = "$(tail -1 <<<"$layers")" ]
	[ "$(jq -r '.nodes[0].images[0] | [.bytesExact, .layers[0].send, .layers[1].send] | map(tostring) | join(" ")' <<<"$output")" = "true false true" ]
	[ "$(jq -r '.nodes[0].images[0].kindWouldSend' <<<"$output")" = "$(awk '{ n += $1 } END { print n }' <<<"$layers")" ]
	run --separate-stderr "$SIDELIFT" load --dry-run nodes-bytes:dev
	[[ "$output" = *"lacks 1 of 2 layers, 8.7 kB to send"*"layer 1   has "*"layer 2   send "*"kind load would send 4"* ]]
	# who may not read the store is told what the engine counts
	run --separate-stderr env -u KUBECONFIG HOME=/nonexistent setpriv --reuid=65534 --regid=65534 --groups "$(stat -c %g /var/run/docker.sock)" \
		--inh-caps=-all --bounding-set=-all "$SIDELIFT" load --dry-run --cluster kind/nodes nodes-bytes:dev
	[ "$status" = 0 ]
	[[ "$output" = *"about 7.0 kB to send"* ]]
}

@test "archives: docker's own, through a file, a redirection and a pipe" {
	new_image nodes-archive:dev 300
	docker save -o "$BATS_TEST_TMPDIR/a.tar" nodes-archive:dev
	run "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/a.tar"
	[ "$status" = 0 ]
	all_have nodes-archive:dev
	wipe "${NODES[@]}"
	run "$SIDELIFT" load -i - <"$BATS_TEST_TMPDIR/a.tar"
	[ "$status" = 0 ]
	all_have nodes-archive:dev
	wipe "${NODES[@]}"
	run bash -c 'docker save nodes-archive:dev | "$SIDELIFT" load -i -'
	[ "$status" = 0 ]
	all_have nodes-archive:dev
	# what is there is seen from a file, without sending
	run "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/a.tar"
	[ "$(grep -c 'present already' <<<"$output")" = 4 ]
}

@test "archives: an OCI layout with gzipped layers, foreign platforms and attestations" {
	python3 "$BATS_TEST_DIRNAME/helpers/oci.py" "$BATS_TEST_TMPDIR/oci.tar" nodes-oci:dev
	run "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/oci.tar"
	[ "$status" = 0 ]
	for node in "${NODES[@]}"; do
		[ "$(file_on_node "$node" docker.io/library/nodes-oci:dev hello)" = "$(printf 'hello\n' | sha256sum | cut -d' ' -f1)" ]
	done
	wipe "${NODES[@]}"
	run bash -c 'cat "$0" | "$SIDELIFT" load -i -' "$BATS_TEST_TMPDIR/oci.tar"
	[ "$status" = 0 ]
	[ "$(file_on_node nodes-worker docker.io/library/nodes-oci:dev hello)" = "$(printf 'hello\n' | sha256sum | cut -d' ' -f1)" ]
}

@test "peak memory stays below 32 MiB for 150 MB into four nodes, and nothing is written to the host's disk" {
	new_image nodes-large:dev 150000
	for way in save store; do
		wipe "${NODES[@]}"
		run --separate-stderr strace -f -q -o "$BATS_TEST_TMPDIR/trace" -e trace=openat,open,creat,openat2,rename,mkdir,unlink \
			/usr/bin/time -f 'rss=%M' "$SIDELIFT" load -q --exporter $way nodes-large:dev
		[ "$status" = 0 ]
		[ "$(sed -n 's/^rss=//p' <<<"$stderr")" -lt 32768 ]
		run grep -E 'O_(WRONLY|RDWR|CREAT)|creat\(|rename|mkdir|unlink' "$BATS_TEST_TMPDIR/trace"
		[ -z "$(grep -v '/dev/' <<<"$output")" ]
		all_have nodes-large:dev
	done
}

@test "rewrite without --image changes exactly what was side-loaded" {
	new_image nodes-rewrite:dev
	docker tag nodes-rewrite:dev nodes-elsewhere:dev
	"$SIDELIFT" load -q nodes-rewrite:dev
	printf 'kind: Pod\nspec:\n  containers:\n  - image: nodes-rewrite:dev\n  - image: nodes-elsewhere:dev\n' >"$BATS_TEST_TMPDIR/pod.yaml"
	run --separate-stderr "$SIDELIFT" rewrite "$BATS_TEST_TMPDIR/pod.yaml"
	[ "$status" = 0 ]
	[ "$output" = "$(printf 'kind: Pod\nspec:\n  containers:\n  - image: nodes-rewrite:dev\n    imagePullPolicy: Never\n  - image: nodes-elsewhere:dev\n')" ]
	# another content under the name, loaded by somebody else, is no side-load of ours
	sed -i 's/WHAT=first/WHAT=theirs/' "$CTX/Dockerfile"
	build_image nodes-rewrite:dev "$CTX"
	for node in "${NODES[@]}"; do docker save nodes-rewrite:dev | docker exec -i "$node" ctr -n k8s.io images import - >/dev/null; done
	run --separate-stderr "$SIDELIFT" rewrite --diff "$BATS_TEST_TMPDIR/pod.yaml"
	[ "$status" = 0 ]
	[ -z "$output" ]
}
