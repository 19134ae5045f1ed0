#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One cluster, its nodes made as minikube's, each with another runtime.

load helpers/common

setup_file() {
	KUBECONFIG=$(BED_PROVIDER=minikube "$ROOT/tests/bed/nodes-only.sh" runtimes docker-bookworm docker-sid docker-sid-containerd podman bookworm 2>/dev/null)
	export KUBECONFIG SHOW=$BATS_FILE_TMPDIR/show
	printf '#include <stdio.h>\nint main(void) { char text[4096]; FILE *file = fopen("/top", "r"); return fwrite(text, 1, fread(text, 1, sizeof(text), file), stdout) == 0; }\n' |
		gcc -static -Os -s -o "$SHOW" -x c -
}

teardown_file() {
	"$ROOT/tests/bed/down.sh" runtimes
	docker images --format '{{.Repository}}:{{.Tag}}' | grep '^rt-' | xargs -r docker rmi -f >/dev/null 2>&1 || true
}

DOCKERS=(runtimes runtimes-m02 runtimes-m03)
PODMAN=runtimes-m04
CONTAINERD=runtimes-m05
NODES=("${DOCKERS[@]}" "$PODMAN" "$CONTAINERD")

client() { case $1 in "$PODMAN") echo podman ;; *) echo docker ;; esac; }

# new_program TAG: prints the file /top, its last layer
new_program() {
	CTX=$BATS_TEST_TMPDIR/ctx
	mkdir -p "$CTX"
	cp "$SHOW" "$CTX/show"
	head -c 200000 /dev/urandom >"$CTX/base"
	echo "$1 $RANDOM" >"$CTX/top"
	printf 'FROM scratch\nCOPY show base /\nCOPY top /top\nENV WHAT=first\nENTRYPOINT ["/show"]\n' >"$CTX/Dockerfile"
	build_image "$1" "$CTX"
}

# on NODE TAG: what a container of it prints there
on() {
	case $1 in
	# into a variable there: of ctr's own output docker exec loses one in 150
	"$CONTAINERD") docker exec "$1" sh -c 'said=$(ctr -n k8s.io run --rm "docker.io/library/$0" "run-$1" 2>&1); echo "$said"' "$2" "$RANDOM" ;;
	*) docker exec "$1" "$(client "$1")" run --rm --network none --pull never "docker.io/library/$2" ;;
	esac
}

all_print() { # TAG FILE
	local node pids=() pid bad=0
	for node in "${NODES[@]}"; do
		(said=$(on "$node" "$1"); [ "$said" = "$(cat "$2")" ] || { echo "$node prints $said"; exit 1; }) &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid" || bad=1; done
	return $bad
}

has() { # NODE TAG
	case $1 in
	"$CONTAINERD") config_on_node "$1" "docker.io/library/$2" >/dev/null ;;
	*) docker exec "$1" "$(client "$1")" image inspect "docker.io/library/$2" >/dev/null 2>&1 ;;
	esac
}

# Everything that a load could leave in the nodes.
held() {
	local node out=$BATS_TEST_TMPDIR/held
	for node in "${NODES[@]}"; do
		docker exec "$node" sh -c '
			echo "== $1"
			case $0 in
			ctr) ctr -n k8s.io images ls -q | sort; ctr -n k8s.io snapshots ls | sed 1d | sort; ctr -n k8s.io leases ls -q ;;
			*) $0 images -a --no-trunc --format "{{.ID}} {{.Repository}}:{{.Tag}}" | sort; $0 ps -aq ;;
			esac
			find /tmp /var/tmp /var/lib/docker/tmp /var/lib/docker/image/overlay2/layerdb/sha256 /var/lib/containers/storage/overlay \
				-mindepth 1 -maxdepth 1 2>/dev/null | sort
			ps ax -o args= | grep -c "[s]idelift" || true' "$([ "$node" = "$CONTAINERD" ] && echo ctr || client "$node")" "$node" >"$out.$node" &
	done
	wait
	cat "$out".*
}

# same_soon BEFORE: within 15 s the nodes hold what they held
same_soon() {
	local after _
	for _ in $(seq 30); do
		after=$(held)
		[ "$1" != "$after" ] || return 0
		sleep 0.5
	done
	diff <(echo "$1") <(echo "$after")
	return 1
}

@test "each node is asked for its runtime, and one export serves them all" {
	new_program rt-first:dev
	run --separate-stderr "$SIDELIFT" load -v -o json rt-first:dev
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[] | .outcome] | unique | join(",")' <<<"$output")" = loaded ]
	[ "$(jq -r '[.nodes[] | .layersSent] | unique | join(",")' <<<"$output")" = 2 ]
	[ "$(grep -c 'exporter: ' <<<"$stderr")" = 1 ]
	[[ "$stderr" == *"node 'runtimes': dockerd, "*"overlay2"* ]]
	[[ "$stderr" == *"node 'runtimes-m02': dockerd, "*"overlay2"* ]]
	[[ "$stderr" == *"node 'runtimes-m03': dockerd, "*"overlayfs"* ]]
	[[ "$stderr" == *"node 'runtimes-m04': cri-o, "*"overlay"* ]]
	[[ "$stderr" == *"node 'runtimes-m05': containerd, "*"overlayfs"* ]]
	all_print rt-first:dev "$CTX/top"
}

@test "a second load sends nothing and exports nothing" {
	new_program rt-second:dev
	"$SIDELIFT" load -q rt-second:dev
	run --separate-stderr "$SIDELIFT" load -vv rt-second:dev
	[ "$status" = 0 ]
	[ "$(grep -c 'present already' <<<"$output")" = 5 ]
	[[ "$stderr" != *"exporter: "* ]]
	[[ "$stderr" != *"node command: stage"* ]]
	[[ "$stderr" != *"node command: tag"* ]]
}

@test "of a rebuilt image only the new layer travels, and runs" {
	new_program rt-reload:dev
	"$SIDELIFT" load -q rt-reload:dev
	head -c 3000 /dev/urandom | base64 -w 0 | head -c 3000 >"$CTX/top"
	build_image rt-reload:dev "$CTX"
	run --separate-stderr "$SIDELIFT" load -o json rt-reload:dev
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[] | .layersSent] | unique | join(",")' <<<"$output")" = 1 ]
	docker save rt-reload:dev -o "$BATS_TEST_TMPDIR/saved.tar"
	tar -C "$BATS_TEST_TMPDIR" -xf "$BATS_TEST_TMPDIR/saved.tar"
	entry=$(jq -c '.[0]' "$BATS_TEST_TMPDIR/manifest.json")
	layer=$(stat -c %s "$BATS_TEST_TMPDIR/$(jq -r '.Layers[-1]' <<<"$entry")")
	config=$(stat -c %s "$BATS_TEST_TMPDIR/$(jq -r .Config <<<"$entry")")
	# the layer, the config, the manifest (about 600 bytes), 1 KiB for each layer
	[ "$(jq '[.nodes[] | .bytesSent] | max' <<<"$output")" -le $((layer + config + 600 + 2 * 1024)) ]
	all_print rt-reload:dev "$CTX/top"
}

@test "a change of nothing but ENV arrives" {
	new_program rt-env:dev
	"$SIDELIFT" load -q rt-env:dev
	sed -i 's/WHAT=first/WHAT=second/' "$CTX/Dockerfile"
	build_image rt-env:dev "$CTX"
	run --separate-stderr "$SIDELIFT" load -o json rt-env:dev
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[] | .layersSent] | unique | join(",")' <<<"$output")" = 0 ]
	for node in "${DOCKERS[@]}" "$PODMAN"; do
		docker exec "$node" "$(client "$node")" image inspect --format '{{json .Config.Env}}' docker.io/library/rt-env:dev | grep -q WHAT=second
	done
	[ "$(config_on_node "$CONTAINERD" docker.io/library/rt-env:dev)" = "$(config_in_engine rt-env:dev)" ]
}

@test "a new name for what is there moves no layer and asks for no export" {
	new_program rt-name:one
	"$SIDELIFT" load -q rt-name:one
	docker tag rt-name:one rt-name:two
	sleep 1
	run --separate-stderr "$SIDELIFT" load -vv rt-name:two
	[ "$status" = 0 ]
	[ "$(grep -c 'only the name is missing' <<<"$stderr")" = 5 ]
	[[ "$stderr" != *"exporter: "* ]]
	all_print rt-name:two "$CTX/top"
	all_print rt-name:one "$CTX/top"
}

@test "several images in one call: a layer that they share travels once" {
	new_program rt-share:a
	cp "$CTX/top" "$BATS_TEST_TMPDIR/top-a"
	echo "the other $RANDOM" >"$CTX/top"
	build_image rt-share:b "$CTX"
	run --separate-stderr "$SIDELIFT" load -o json rt-share:a rt-share:b
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[] | .layersSent] | unique | join(",")' <<<"$output")" = 3 ]
	all_print rt-share:a "$BATS_TEST_TMPDIR/top-a"
	all_print rt-share:b "$CTX/top"
}

@test "archives: an OCI layout with gzipped layers, through a file and a pipe" {
	python3 "$BATS_TEST_DIRNAME/helpers/oci.py" "$BATS_TEST_TMPDIR/oci.tar" rt-oci:file
	run --separate-stderr "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/oci.tar"
	[ "$status" = 0 ]
	for node in "${NODES[@]}"; do has "$node" rt-oci:file; done
	run --separate-stderr "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/oci.tar"
	[ "$(grep -c 'present already' <<<"$output")" = 5 ]
	"$SIDELIFT" prune -q rt-oci:file
	python3 "$BATS_TEST_DIRNAME/helpers/oci.py" "$BATS_TEST_TMPDIR/oci.tar" rt-oci:pipe
	run --separate-stderr bash -c '"$SIDELIFT" load -i - <"$1"' - <(cat "$BATS_TEST_TMPDIR/oci.tar")
	[ "$status" = 0 ]
	for node in "${NODES[@]}"; do has "$node" rt-oci:pipe; done
}

@test "of a gzipped archive a node that has some layers takes the others" {
	# the same layers, first one of them, then both
	python3 "$BATS_TEST_DIRNAME/helpers/oci.py" "$BATS_TEST_TMPDIR/oci.tar" rt-part:dev
	mkdir "$BATS_TEST_TMPDIR/ctx"
	printf 'hello\n' >"$BATS_TEST_TMPDIR/ctx/hello"
	python3 - "$BATS_TEST_TMPDIR/oci.tar" "$BATS_TEST_TMPDIR/one.tar" <<-'P'
	import gzip, hashlib, io, json, sys, tarfile
	blobs = {m.name: t.extractfile(m).read() for t in [tarfile.open(sys.argv[1])] for m in t.getmembers()}
	manifest = next(json.loads(b) for n, b in blobs.items() if n.startswith("blobs/") and b'"layers": [{' in b)
	layer = gzip.decompress(blobs["blobs/sha256/" + manifest["layers"][0]["digest"][7:]])
	hex = lambda b: hashlib.sha256(b).hexdigest()
	config = json.loads(blobs["blobs/sha256/" + manifest["config"]["digest"][7:]])
	config["rootfs"]["diff_ids"] = config["rootfs"]["diff_ids"][:1]
	config = json.dumps(config).encode()
	with tarfile.open(sys.argv[2], "w") as tar:
	    for name, data in ((hex(layer) + ".tar", layer), (hex(config) + ".json", config), ("manifest.json", json.dumps(
	            [{"Config": hex(config) + ".json", "RepoTags": ["rt-part:one"], "Layers": [hex(layer) + ".tar"]}]).encode())):
	        info = tarfile.TarInfo(name)
	        info.size = len(data)
	        tar.addfile(info, io.BytesIO(data))
	P
	"$SIDELIFT" prune -q rt-oci:pipe
	"$SIDELIFT" load -q -i "$BATS_TEST_TMPDIR/one.tar"
	run --separate-stderr "$SIDELIFT" load -o json -i "$BATS_TEST_TMPDIR/oci.tar"
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[] | .layersSent] | unique | join(",")' <<<"$output")" = 1 ]
	for node in "${NODES[@]}"; do has "$node" rt-part:dev; done
}

@test "a name with a digest: dockerd and podman cannot, and say so; containerd can" {
	name=rt-digest@sha256:$(printf x | sha256sum | cut -d' ' -f1)
	python3 "$BATS_TEST_DIRNAME/helpers/oci.py" "$BATS_TEST_TMPDIR/oci.tar" "$name"
	before=$(held | grep -v rt-digest)
	run --separate-stderr "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/oci.tar"
	[ "$status" = 3 ]
	[[ "$output" == *"runtimes-m02"*"dockerd gives no image a name with a digest"*"by a tag"* ]]
	[[ "$output" == *"runtimes-m04"*"podman gives no image a name with a digest"* ]]
	has "$CONTAINERD" "$name"
	"$SIDELIFT" prune -q --node "$CONTAINERD" "$name"
	same_soon "$before"
}

@test "images of another architecture are refused, nothing moves" {
	new_image rt-arch:dev
	docker save rt-arch:dev -o "$BATS_TEST_TMPDIR/saved.tar"
	python3 "$BATS_TEST_DIRNAME/helpers/damage.py" "$BATS_TEST_TMPDIR/saved.tar" "$BATS_TEST_TMPDIR/arch.tar" arch
	before=$(held)
	run --separate-stderr "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/arch.tar"
	[ "$status" = 1 ]
	[[ "$stderr" == *"is for s390x, but node 'runtimes' is amd64"* ]]
	same_soon "$before"
}

@test "a damaged layer: no node takes anything of it" {
	new_image rt-flip:dev
	docker save rt-flip:dev -o "$BATS_TEST_TMPDIR/saved.tar"
	python3 "$BATS_TEST_DIRNAME/helpers/damage.py" "$BATS_TEST_TMPDIR/saved.tar" "$BATS_TEST_TMPDIR/flip.tar" flip
	before=$(held)
	run --separate-stderr "$SIDELIFT" load -i "$BATS_TEST_TMPDIR/flip.tar"
	[ "$status" = 1 ]
	[[ "$stderr" == *"sha256:"* ]]
	same_soon "$before"
}

@test "killed anywhere: the name stands for the old image or the new one, and nothing stays behind" {
	new_program rt-kill:dev
	"$SIDELIFT" load -q rt-kill:dev
	cp "$CTX/top" "$BATS_TEST_TMPDIR/old"
	printf 'FROM rt-kill:dev\nCOPY big /big\nCOPY top /top\n' >"$CTX/Dockerfile"
	head -c 40000000 /dev/urandom >"$CTX/big"
	echo "new $RANDOM" >"$CTX/top"
	build_image rt-kill:dev "$CTX"
	for delay in 0.5 0.9 1.3 1.8 2.4; do
		"$SIDELIFT" load -q rt-kill:dev 2>/dev/null &
		pid=$!
		sleep "$delay"
		kill -KILL $pid 2>/dev/null || true
		wait $pid || true
		for _ in $(seq 40); do
			now=$(held)
			# the names were looked at before the processes
			[[ $now == *$'\n0'*$'\n0'*$'\n0'*$'\n0'*$'\n0'* && $now != *sidelift* ]] && break
			sleep 0.5
		done
		[[ $now != *sidelift* ]]
		for node in "${NODES[@]}"; do
			[[ "$(on "$node" rt-kill:dev)" =~ ^("$(cat "$BATS_TEST_TMPDIR/old")"|"$(cat "$CTX/top")")$ ]]
		done
	done
	"$SIDELIFT" load -q rt-kill:dev
	all_print rt-kill:dev "$CTX/top"
	[[ "$(held)" != *sidelift* ]]
}

@test "an import that breaks in the node is repeated, and the load succeeds" {
	new_program rt-broken:dev
	head -c 60000000 /dev/urandom >"$CTX/base"
	build_image rt-broken:dev "$CTX"
	"$SIDELIFT" load -o json --node "$PODMAN" --node runtimes-m02 rt-broken:dev >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" &
	pid=$!
	for _ in $(seq 100); do
		docker exec runtimes-m02 pkill -KILL -f '^docker load' && break
		sleep 0.05
	done
	wait $pid
	grep -q "runtimes-m02.*trying once more with the whole image" "$BATS_TEST_TMPDIR/err"
	[ "$(jq -r '[.nodes[] | .outcome] | unique | join(",")' "$BATS_TEST_TMPDIR/out")" = loaded ]
	[ "$(on runtimes-m02 rt-broken:dev)" = "$(cat "$CTX/top")" ]
}

@test "a full disk: that node says so and is as it was, the others are served" {
	new_program rt-full:dev
	head -c 20000000 /dev/urandom >"$CTX/base"
	build_image rt-full:dev "$CTX"
	docker exec runtimes-m02 mount -t tmpfs -o size=5m none /var/lib/docker/tmp
	docker exec runtimes-m03 mount -t tmpfs -o size=5m none /var/lib/docker/containerd/daemon/io.containerd.content.v1.content/ingest
	docker exec "$PODMAN" mount -t tmpfs -o size=5m none /var/tmp
	run --separate-stderr "$SIDELIFT" load rt-full:dev
	[[ "$(held)" != *sidelift* ]]
	docker exec runtimes-m02 umount /var/lib/docker/tmp
	docker exec runtimes-m03 umount /var/lib/docker/containerd/daemon/io.containerd.content.v1.content/ingest
	docker exec "$PODMAN" umount /var/tmp
	[ "$status" = 3 ]
	[[ "$output" =~ runtimes-m02\ +FAILED:\ docker\ load.*[Nn]o\ space\ left ]]
	[[ "$output" =~ runtimes-m04\ +FAILED:\ podman\ pull.*[Nn]o\ space\ left ]]
	[[ "$stderr" != *"trying once more"* ]]
	for node in runtimes-m02 runtimes-m03 "$PODMAN"; do run has "$node" rt-full:dev; [ "$status" != 0 ]; done
	[ "$(on runtimes rt-full:dev)" = "$(cat "$CTX/top")" ]
	[ "$(on "$CONTAINERD" rt-full:dev)" = "$(cat "$CTX/top")" ]
}

@test "what a killed node's script left is swept by the next load" {
	new_program rt-sweep:dev
	"$SIDELIFT" load -q rt-sweep:dev
	for node in "${DOCKERS[@]}"; do docker exec "$node" docker tag rt-sweep:dev sidelift.invalid/staging/p999999:left-0; done
	docker exec "$PODMAN" sh -c 'podman tag docker.io/library/rt-sweep:dev sidelift.invalid/staging/p999999:left-0
		podman tag docker.io/library/rt-sweep:dev localhost/var/tmp/sidelift.p999999.left/0:latest; mkdir -p /var/tmp/sidelift.p999999.left/blobs'
	echo more >>"$CTX/top"
	build_image rt-sweep:dev "$CTX"
	"$SIDELIFT" load -q rt-sweep:dev
	[[ "$(held)" != *sidelift.* ]]
	all_print rt-sweep:dev "$CTX/top"
}

@test "rewrite without --image changes what the nodes and the engine have under one name" {
	new_program rt-rewrite:dev
	"$SIDELIFT" load -q rt-rewrite:dev
	docker exec runtimes-m02 docker tag rt-rewrite:dev rt-foreign:dev
	printf 'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - {name: a, image: "rt-rewrite:dev"}\n  - {name: b, image: "rt-foreign:dev"}\n' >"$BATS_TEST_TMPDIR/pod.yaml"
	run --separate-stderr "$SIDELIFT" rewrite --node runtimes-m02 --node "$PODMAN" "$BATS_TEST_TMPDIR/pod.yaml"
	[ "$status" = 0 ]
	[[ "$output" == *"imagePullPolicy: Never, image: \"rt-rewrite:dev\""*"{name: b, image: \"rt-foreign:dev\"}"* ]]
	[ "$(grep -c Never <<<"$output")" = 1 ]
	"$SIDELIFT" prune -q rt-foreign:dev
}

@test "images lists every runtime; prune NAME frees what only that name needed" {
	before=$(held)
	new_program rt-gone:dev
	"$SIDELIFT" load -q rt-gone:dev
	run --separate-stderr "$SIDELIFT" images -o json
	[ "$status" = 0 ]
	for node in "${NODES[@]}"; do
		[ "$(jq -r --arg node "$node" '.. | objects | select(.name? == "docker.io/library/rt-gone:dev") | .nodes[] | select(.node == $node) | .digest' <<<"$output")" = "$(config_in_engine rt-gone:dev)" ]
	done
	run --separate-stderr "$SIDELIFT" prune rt-gone:dev
	[ "$status" = 0 ]
	for node in "${NODES[@]}"; do run has "$node" rt-gone:dev; [ "$status" != 0 ]; done
	same_soon "$before"
}

@test "an image without a name is listed by its config, and goes by that" {
	new_program rt-old:dev
	"$SIDELIFT" load -q rt-old:dev
	old=$(config_in_engine rt-old:dev)
	echo newer >"$CTX/top"
	build_image rt-old:dev "$CTX"
	"$SIDELIFT" load -q rt-old:dev
	run --separate-stderr "$SIDELIFT" images --all -o json
	[ "$(jq --arg name "$old" '[.images[] | select(.name == $name) | .nodes[] | select(.present)] | length' <<<"$output")" = 5 ]
	run --separate-stderr "$SIDELIFT" prune "$old"
	[ "$status" = 0 ]
	[[ "$output" == *"removed 5 image names from 5 nodes"* ]]
	run --separate-stderr "$SIDELIFT" images --all -o json
	[ "$(jq --arg name "$old" '[.images[] | select(.name == $name) | .nodes[] | select(.present)] | length' <<<"$output")" = 0 ]
	all_print rt-old:dev "$CTX/top"
}

@test "an image that a container uses is not pruned" {
	new_program rt-used:dev
	"$SIDELIFT" load -q rt-used:dev
	for node in "${DOCKERS[@]}" "$PODMAN"; do docker exec "$node" "$(client "$node")" create --name rt-used --network none docker.io/library/rt-used:dev >/dev/null; done
	run --separate-stderr "$SIDELIFT" prune rt-used:dev
	for node in "${DOCKERS[@]}" "$PODMAN"; do has "$node" rt-used:dev; done
	run has "$CONTAINERD" rt-used:dev
	[ "$status" != 0 ]
	for node in "${DOCKERS[@]}" "$PODMAN"; do docker exec "$node" "$(client "$node")" rm rt-used >/dev/null; done
	"$SIDELIFT" prune -q rt-used:dev
	for node in "${NODES[@]}"; do run has "$node" rt-used:dev; [ "$status" != 0 ]; done
}

@test "context names each node's runtime and its version" {
	run --separate-stderr "$SIDELIFT" context -o json
	[ "$status" = 0 ]
	[ "$(jq -r '[.cluster.nodes[] | "\(.runtime) \(.runtimeVersion | split(".")[0])"] | join(",")' <<<"$output")" = "dockerd 20,dockerd 28,dockerd 28,cri-o podman 4,containerd 1" ]
}

@test "k3s: its containerd is at another socket" {
	docker exec "$CONTAINERD" sh -c 'mkdir -p /run/k3s/containerd && mv /run/containerd/containerd.sock /run/k3s/containerd/
		sed -i s,/run/containerd/,/run/k3s/containerd/, /var/lib/kubelet/config.yaml'
	new_program rt-k3s:dev
	run --separate-stderr "$SIDELIFT" load --node "$CONTAINERD" rt-k3s:dev
	docker exec "$CONTAINERD" sh -c 'mv /run/k3s/containerd/containerd.sock /run/containerd/
		sed -i s,/run/k3s/containerd/,/run/containerd/, /var/lib/kubelet/config.yaml'
	[ "$status" = 0 ]
	[ "$(config_on_node "$CONTAINERD" docker.io/library/rt-k3s:dev)" = "$(config_in_engine rt-k3s:dev)" ]
}

@test "kubeadm's flags tell the runtime where the configuration does not; without both, the socket does" {
	docker exec runtimes-m02 sh -c 'cd /var/lib/kubelet && cp config.yaml kept && sed -i "s,^containerRuntimeEndpoint.*,containerRuntimeEndpoint: \"\"," config.yaml
		echo "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///var/run/cri-dockerd.sock --hostname-override=x\"" >kubeadm-flags.env'
	docker exec "$CONTAINERD" mv /var/lib/kubelet/config.yaml /var/lib/kubelet/away
	run --separate-stderr "$SIDELIFT" context -o json
	docker exec runtimes-m02 sh -c 'cd /var/lib/kubelet && mv kept config.yaml && rm kubeadm-flags.env'
	docker exec "$CONTAINERD" mv /var/lib/kubelet/away /var/lib/kubelet/config.yaml
	[ "$(jq -r '[.cluster.nodes[] | .runtime // .error] | join(",")' <<<"$output")" = "dockerd,dockerd,dockerd,cri-o,containerd" ]
}

@test "a node without any runtime says so; the others are served" {
	docker exec "$CONTAINERD" sh -c 'mv /var/lib/kubelet/config.yaml /var/lib/kubelet/away; mv /run/containerd/containerd.sock /run/containerd/away'
	new_program rt-none:dev
	run --separate-stderr "$SIDELIFT" load rt-none:dev
	docker exec "$CONTAINERD" sh -c 'mv /var/lib/kubelet/away /var/lib/kubelet/config.yaml; mv /run/containerd/away /run/containerd/containerd.sock'
	[ "$status" = 3 ]
	[[ "$output" == *"$CONTAINERD  FAILED: neither containerd nor dockerd nor CRI-O was found on it"* ]]
	[ "$(on runtimes rt-none:dev)" = "$(cat "$CTX/top")" ]
}

@test "dockerd that does not answer: the message names the node and docker's reason" {
	docker exec runtimes-m02 sh -c 'mv /run/docker.sock /run/docker.away'
	new_program rt-dead:dev
	run --separate-stderr "$SIDELIFT" load rt-dead:dev
	docker exec runtimes-m02 sh -c 'mv /run/docker.away /run/docker.sock'
	[ "$status" = 3 ]
	[[ "$output" == *"runtimes-m02  FAILED: "*"Docker daemon"* ]]
	[ "$(on runtimes-m03 rt-dead:dev)" = "$(cat "$CTX/top")" ]
}
