#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# load --via: into Debian's docker-registry, from which the nodes pull.  What is sent is told
# by the registry's own log as well.

load helpers/common

NODE=viareg-control-plane
PORT=5621
REGISTRY=127.0.0.1:$PORT

setup_file() {
	KUBECONFIG=$("$ROOT/tests/bed/nodes-only.sh" viareg bookworm newest 2>/dev/null)
	export KUBECONFIG
	GATEWAY=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}' $NODE)
	export GATEWAY
	serve $PORT
}

teardown_file() {
	for pid in "$BATS_FILE_TMPDIR"/*.pid; do kill "$(cat "$pid")" 2>/dev/null; done || true
	"$ROOT/tests/bed/down.sh" viareg viareg-store viareg-pod
	docker rmi -f via-app:dev via-base:dev via-other:dev via-third:dev "$REGISTRY/via-own:dev" >/dev/null 2>&1 || true
}

setup() { export HOME=$BATS_TEST_TMPDIR XDG_STATE_HOME=$BATS_TEST_TMPDIR/state; }

# serve PORT [YAML]: a registry, with YAML in its configuration; its data is in $BATS_FILE_TMPDIR/PORT
serve() {
	local at=$BATS_FILE_TMPDIR/$1
	mkdir -p "$at"
	printf 'version: 0.1\nlog: {level: info, accesslog: {disabled: false}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: ":%s"%s}\n%s\n' \
		"$at" "$1" "${3:-}" "${2:-}" >"$at.yml"
	docker-registry serve "$at.yml" >"$at.log" 2>&1 3>&- &
	echo $! >"$at.pid"
	listening "$1"
}

# hub KIND PORT ARGUMENT...: what stands before a registry
hub() {
	python3 "$BATS_TEST_DIRNAME/helpers/hub.py" "$@" 3>&- &
	echo $! >"$BATS_FILE_TMPDIR/$2.pid"
	listening "$2"
}

listening() {
	local _
	for _ in $(seq 100); do
		if (exec 4<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return 0; fi
		sleep 0.1
	done
	return 1
}

via() { # WAY ARGUMENT...
	local way=$1
	shift
	run --separate-stderr "$SIDELIFT" load --via "$way" "$@"
}

field() { jq -r "$1" <<<"$output"; }

# Requests of METHOD that the registry at PORT has had since mark.
mark() { MARK=$(wc -l <"$BATS_FILE_TMPDIR/${1:-$PORT}.log"); }
requests() { tail -n "+$((MARK + 1))" "$BATS_FILE_TMPDIR/${2:-$PORT}.log" | grep -c "\"$1 /v2/" || true; }

# Uploads that did not come to their end (of a cancelled one the registry itself leaves empty folders).
unfinished() { find "$BATS_FILE_TMPDIR/${1:-$PORT}" -path '*/_uploads/*/data' | wc -l; }

tags() { curl -s "http://127.0.0.1:${2:-$PORT}/v2/$1/tags/list" | jq -r '.tags // [] | join(",")'; }

# What a pod would: NODE REFERENCE
pull() { docker exec "$1" ctr -n k8s.io images pull --plain-http "$2" >/dev/null; }

# No name in the engine that a push would have needed.
wants_nothing_left() { ! docker images --format '{{.Repository}}' | grep "127.0.0.1:[0-9]*/via-app\|$GATEWAY"; }

@test "what nodes pull under the reference that is printed is the engine's image" {
	new_image via-app:dev 300
	via "registry=http://$GATEWAY:$PORT" -o json via-app:dev
	[ "$status" = 0 ]
	[ "$(field .kind)" = PushResult ]
	[ "$(field .registry.url)" = "http://$GATEWAY:$PORT" ]
	[ "$(field '.images[0].outcome')" = pushed ]
	[ "$(field '.images[0].layersSent')" = 2 ]
	reference=$(field '.images[0].podReference')
	[[ "$reference" = "$GATEWAY:$PORT/via-app:dev@sha256:"* ]]
	for node in "$NODE" viareg-worker; do
		pull "$node" "$reference"
		[ "$(config_on_node "$node" "${reference/:dev@/@}")" = "$(config_in_engine via-app:dev)" ] ||
			[ "$(config_on_node "$node" "$reference")" = "$(config_in_engine via-app:dev)" ]
	done
	[ "$(field '.images[0].manifest')" = "${reference#*@}" ]
	wants_nothing_left
}

@test "pushed once, nothing is sent again; of a changed layer only that" {
	new_image via-app:dev 2000
	via "registry=$REGISTRY" via-app:dev
	[ "$status" = 0 ]
	[[ "$output" = "$REGISTRY/via-app:dev@sha256:"*"  pushed 2.0 MB of 2.0 MB in "*" s" ]]
	mark
	via "registry=$REGISTRY" via-app:dev
	[ "$status" = 0 ]
	[[ "$output" = "$REGISTRY/via-app:dev@sha256:"*"  nothing to push" ]]
	[ "$(requests 'P[A-Z]*')" = 0 ]

	head -c 5000 /dev/urandom >"$CTX/top"
	build_image via-app:dev "$CTX"
	via "registry=$REGISTRY" --dry-run -o json via-app:dev
	[ "$status" = 0 ]
	[ "$(field .kind)" = PushPlan ]
	[ "$(field '[.images[0].layers[].send] | map(tostring) | join(",")')" = false,true ]
	planned=$(field '.images[0].bytesToSend')
	[ "$planned" = "$(field '.images[0].layers[1].bytes')" ]
	[ "$(requests 'P[A-Z]*')" = 0 ]
	via "registry=$REGISTRY" -o json via-app:dev
	[ "$status" = 0 ]
	[ "$(field '.images[0].layersSent')" = 1 ]
	# the layer, the config and the manifest
	sent=$(field '.images[0].bytesSent')
	[ "$sent" -gt "$planned" ]
	[ "$sent" -lt "$((planned + 4000))" ]
	[ "$(requests PATCH)" = 2 ]
	[ "$(field '.images[0].manifest')" = "$(curl -sI -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$REGISTRY/v2/via-app/manifests/dev" |
		tr -d '\r' | sed -n 's/^Docker-Content-Digest: //p')" ]
	[ "$(unfinished)" = 0 ]
}

@test "an image of which only the config changed, or another tag, costs no layer" {
	new_image via-app:dev
	"$SIDELIFT" load -q --via "registry=$REGISTRY" via-app:dev
	echo 'ENV WHAT=second' >>"$CTX/Dockerfile"
	build_image via-app:dev "$CTX"
	via "registry=$REGISTRY" -o json via-app:dev
	[ "$status" = 0 ]
	[ "$(field '.images[0].layersSent')" = 0 ]
	[ "$(field '.images[0].outcome')" = pushed ]
	docker tag via-app:dev via-app:next
	via "registry=$REGISTRY" -o json via-app:next
	docker rmi via-app:next >/dev/null
	[ "$status" = 0 ]
	[ "$(field '.images[0].layersSent')" = 0 ]
	[[ "$(tags via-app)" = *next* ]]
}

@test "what docker has pushed there is not sent again, packed as it is" {
	new_image via-app:dev
	docker tag via-app:dev "$REGISTRY/via-pushed:dev"
	docker push -q "$REGISTRY/via-pushed:dev" >/dev/null
	head -c 4000 /dev/urandom >"$CTX/top"
	build_image "$REGISTRY/via-pushed:dev" "$CTX"
	via "registry=$REGISTRY" -o json "$REGISTRY/via-pushed:dev"
	docker rmi "$REGISTRY/via-pushed:dev" >/dev/null
	[ "$status" = 0 ]
	# a name that is the registry's already stays what it is
	[ "$(field '.images[0].reference')" = "$REGISTRY/via-pushed:dev" ]
	[ "$(field '.images[0].layersSent')" = 1 ]
	docker pull -q "$REGISTRY/via-pushed:dev"
	docker create --name via-look "$REGISTRY/via-pushed:dev" x >/dev/null
	docker cp via-look:/top "$BATS_TEST_TMPDIR/top"
	docker rm via-look >/dev/null
	docker rmi "$REGISTRY/via-pushed:dev" >/dev/null
	cmp "$BATS_TEST_TMPDIR/top" "$CTX/top"
}

@test "several images send a layer that they share once, and each name stands for its image" {
	new_image via-base:dev 500
	printf 'FROM via-base:dev\nENV WHAT=other\n' | docker build -q -t via-other:dev - >/dev/null 2>&1
	printf 'FROM via-base:dev\nCOPY more /more\n' >"$CTX/Dockerfile"
	head -c 1000 /dev/urandom >"$CTX/more"
	build_image via-third:dev "$CTX"
	mark
	via "registry=$REGISTRY" -o json via-base:dev via-other:dev via-third:dev
	[ "$status" = 0 ]
	[ "$(field '[.images[].layersSent] | map(tostring) | join(",")')" = 2,0,1 ]
	# three layers, three configs
	[ "$(requests PATCH)" = 6 ]
	for name in base other third; do
		docker exec "$NODE" ctr -n k8s.io images pull --plain-http "$GATEWAY:$PORT/via-$name:dev" >/dev/null
		[ "$(config_on_node "$NODE" "$GATEWAY:$PORT/via-$name:dev")" = "$(config_in_engine "via-$name:dev")" ]
	done
	[ "$(file_on_node "$NODE" "$GATEWAY:$PORT/via-third:dev" base)" = "$(hash_of "$CTX/base")" ]
}

@test "a registry that has lost a layer of what the name stands for gets it again" {
	new_image via-app:dev 300
	"$SIDELIFT" load -q --via "registry=$REGISTRY/lost" via-app:dev
	layer=$(docker image inspect -f '{{index .RootFS.Layers 0}}' via-app:dev)
	rm -r "$BATS_FILE_TMPDIR/$PORT/docker/registry/v2/repositories/lost/via-app/_layers/sha256/${layer#sha256:}"
	via "registry=$REGISTRY/lost" -o json via-app:dev
	[ "$status" = 0 ]
	[ "$(field '.images[0].outcome')" = pushed ]
	[ "$(field '.images[0].layersSent')" = 1 ]
	pull "$NODE" "$GATEWAY:$PORT/lost/via-app:dev"
}

@test "archives: docker save, the same gzipped, and an OCI layout" {
	new_image via-app:dev 400
	docker save -o "$BATS_TEST_TMPDIR/app.tar" via-app:dev
	via "registry=$REGISTRY/archives" -o json -i "$BATS_TEST_TMPDIR/app.tar"
	[ "$status" = 0 ]
	[ "$(field '.images[0].reference')" = "$REGISTRY/archives/via-app:dev" ]
	[ "$(field '.images[0].layersSent')" = 2 ]
	[ "$(field .exporter)" = archive ]
	gzip -k "$BATS_TEST_TMPDIR/app.tar"
	via "registry=$REGISTRY/archives" -o json -i "$BATS_TEST_TMPDIR/app.tar.gz"
	[ "$status" = 0 ]
	[ "$(field '.images[0].outcome')" = present ]
	[ "$(field '.images[0].bytesSent')" = 0 ]

	python3 "$BATS_TEST_DIRNAME/helpers/oci.py" "$BATS_TEST_TMPDIR/oci.tar" via-oci:dev
	via "registry=$REGISTRY" -o json -i "$BATS_TEST_TMPDIR/oci.tar"
	[ "$status" = 0 ]
	[ "$(field '.images[0].outcome')" = pushed ]
	pull "$NODE" "$GATEWAY:$PORT/via-oci:dev"
	[ "$(config_on_node "$NODE" "$GATEWAY:$PORT/via-oci:dev")" = "$(field '.images[0].digest')" ]
	mark
	via "registry=$REGISTRY" -o json -i "$BATS_TEST_TMPDIR/oci.tar"
	[ "$(field '.images[0].outcome')" = present ]
	[ "$(requests 'P[A-Z]*')" = 0 ]
}

@test "a pipe is refused, for it tells its names last" {
	new_image via-app:dev
	docker save -o "$BATS_TEST_TMPDIR/app.tar" via-app:dev
	run --separate-stderr sh -c "cat '$BATS_TEST_TMPDIR/app.tar' | '$SIDELIFT' load --via registry=$REGISTRY -i -"
	[ "$status" = 2 ]
	[[ "$stderr" = *"standard input is a pipe"*"give a file: -i FILE" ]]
	run --separate-stderr sh -c "'$SIDELIFT' load -q --via registry=$REGISTRY -i - <'$BATS_TEST_TMPDIR/app.tar'"
	[ "$status" = 0 ]
}

@test "a damaged archive moves no name and leaves no upload" {
	new_image via-app:dev
	docker save -o "$BATS_TEST_TMPDIR/app.tar" via-app:dev
	python3 "$BATS_TEST_DIRNAME/helpers/damage.py" "$BATS_TEST_TMPDIR/app.tar" "$BATS_TEST_TMPDIR/flip.tar" flip
	via "registry=$REGISTRY/damaged" -i "$BATS_TEST_TMPDIR/flip.tar"
	[ "$status" = 1 ]
	[[ "$stderr" = *"does not match its digest"* ]]
	[ -z "$(tags damaged/via-app)" ]
	[ "$(unfinished)" = 0 ]
}

@test "images that manifests name; what the engine lacks and what has a digest is left alone" {
	new_image via-app:dev
	printf 'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: via-app:dev\n  - image: nobody/has:this\n  - image: x@sha256:%064d\n' 0 >"$BATS_TEST_TMPDIR/pod.yaml"
	via "registry=$REGISTRY/manifests" -o json -f "$BATS_TEST_TMPDIR/pod.yaml"
	[ "$status" = 0 ]
	[ "$(field '.images | length')" = 1 ]
	[ "$(field '.images[0].reference')" = "$REGISTRY/manifests/via-app:dev" ]
	[[ "$stderr" = *"'docker.io/nobody/has:this' is not in the engine"* ]]
	[[ "$stderr" = *"is named by a digest; it is left to the cluster"* ]]
}

@test "names: the familiar one below the registry's, with a port's colon as a hyphen" {
	new_image via-app:dev
	expect() {
		docker tag via-app:dev "$1"
		via "registry=$3" -o json "$1"
		docker rmi "$1" >/dev/null
		[ "$status" = 0 ]
		[ "$(field '.images[0].reference')" = "$2" ]
	}
	expect via-app:v1 "$REGISTRY/via-app:v1" "$REGISTRY"
	expect someone/via-app:v1 "$REGISTRY/someone/via-app:v1" "$REGISTRY"
	expect ghcr.io/o/via-app:v1 "$REGISTRY/ghcr.io/o/via-app:v1" "$REGISTRY"
	expect localhost:5000/o/via-app:v1 "$REGISTRY/team/a/localhost-5000/o/via-app:v1" "$REGISTRY/team/a"
	expect Upper.example/via-app:v1 "$REGISTRY/upper.example/via-app:v1" "$REGISTRY"
	expect "$REGISTRY/via-own:v1" "$REGISTRY/via-own:v1" "$REGISTRY/team"
	docker tag via-app:dev localhost:5000/via-app:v1
	docker tag via-app:dev localhost-5000/via-app:v1
	via "registry=$REGISTRY" localhost:5000/via-app:v1 localhost-5000/via-app:v1
	docker rmi localhost:5000/via-app:v1 localhost-5000/via-app:v1 >/dev/null
	[ "$status" = 2 ]
	[[ "$stderr" = *"would both be '$REGISTRY/localhost-5000/via-app:v1'"* ]]
}

@test "rewrite --via names images as the registry has them, by digest, and leaves the others" {
	new_image via-app:dev 100
	"$SIDELIFT" load -q --via "registry=$REGISTRY" via-app:dev
	reference=$("$SIDELIFT" load -o json --via "registry=$REGISTRY" via-app:dev | jq -r '.images[0].podReference')
	cd "$BATS_TEST_TMPDIR" || return 1
	printf 'containers:\n- image: via-app:dev # ours\n- image: docker.io/library/via-app:dev\n  imagePullPolicy: Always\n- image: elsewhere:1\n' >pod.yaml
	printf 'containers:\n- image: %s # ours\n  imagePullPolicy: IfNotPresent\n- image: %s\n  imagePullPolicy: IfNotPresent\n- image: elsewhere:1\n' \
		"$reference" "$reference" >expected.yaml
	run --separate-stderr "$SIDELIFT" rewrite --via "registry=$REGISTRY" pod.yaml
	[ "$status" = 0 ]
	diff <(echo "$output") expected.yaml
	run --separate-stderr bash -c '"$SIDELIFT" rewrite --via "registry=$0" --image via-app:dev - <pod.yaml' "$REGISTRY"
	[ "$status" = 0 ]
	diff <(echo "$output") expected.yaml
	# what is named so is left alone
	run --separate-stderr "$SIDELIFT" rewrite --via "registry=$REGISTRY" --diff expected.yaml
	[ "$status" = 0 ]
	[ -z "$output" ]
	run --separate-stderr "$SIDELIFT" rewrite --via "registry=$REGISTRY" --image elsewhere:1 pod.yaml
	[ "$status" = 1 ]
	[[ "$stderr" = *"the registry at http://$REGISTRY has no 'elsewhere:1'; push it: sidelift load --via registry"* ]]
	for args in "--via registry --check" "--via registry=$REGISTRY --policy Never" "--via hub"; do
		run --separate-stderr "$SIDELIFT" rewrite $args pod.yaml
		[ "$status" = 2 ]
		[ -z "$output" ]
	done
	run --separate-stderr "$SIDELIFT" rewrite --via registry=127.0.0.1:1 pod.yaml
	[ "$status" = 1 ]
	[ -z "$output" ]
}

@test "usage: ways, and what does not go with them" {
	for way in docker registry= registry=nohost registry=http:// registry=ftp://h:1 registry=h:x registry=h.example/UP; do
		via "$way" via-app:dev
		[ "$status" = 2 ]
		[[ "$stderr" = *"--via is registry (the cluster's own), or registry=HOST[:PORT][/PREFIX]"* ]]
	done
	for other in '--importer direct' '--node x' '--restart deployment/x'; do
		# shellcheck disable=SC2086
		via registry $other via-app:dev
		[ "$status" = 2 ]
		[[ "$stderr" = *"${other%% *} does not go with --via"* ]]
	done
	via registry --cluster kind/viareg via-app:dev
	[ "$status" = 2 ]
	[[ "$stderr" = *"--kube-context NAME"* ]]
	new_image via-app:dev
	id=$(docker image inspect -f '{{.Id}}' via-app:dev)
	via "registry=$REGISTRY" "${id#sha256:}"
	[ "$status" = 2 ]
}

@test "nobody there, no registry there, and a web server that says yes to everything" {
	new_image via-app:dev
	via registry=127.0.0.1:5629 via-app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"no registry answers at http://127.0.0.1:5629"*"is it running?" ]]
	socat TCP-LISTEN:5628,bind=127.0.0.1,reuseaddr,fork EXEC:'echo hello' 3>&- &
	echo $! >"$BATS_FILE_TMPDIR/5628.pid"
	listening 5628
	via registry=127.0.0.1:5628 via-app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"5628"*"does not speak HTTP as a registry does"* ]]
	hub web 5627
	via registry=127.0.0.1:5627 via-app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"what listens at http://127.0.0.1:5627 is no registry"* ]]
}

@test "a registry that refuses: what it says, exit 1, and no name is moved" {
	new_image via-app:dev
	refuses() { # PORT METHOD PATTERN STATUS
		hub door "$1" $PORT "$2" "$3" "$4"
		via "registry=127.0.0.1:$1/refused" -o json via-app:dev
		kill "$(cat "$BATS_FILE_TMPDIR/$1.pid")"
		[ "$status" = 1 ]
		[ "$(field .error.exitCode)" = 1 ]
		[ "$(field '.images[0].outcome // "pending"')" = pending ]
		[ -z "$(tags refused/via-app)" ]
		[ "$(unfinished)" = 0 ]
	}
	refuses 5631 POST /uploads/ 403
	[[ "$stderr" = *"does not let you push to 'refused/via-app': OF_THE_TEST, the test says no"* ]]
	refuses 5632 POST /uploads/ 404
	[[ "$stderr" = *"answers POST of 'refused/via-app' with 404: OF_THE_TEST"* ]]
	refuses 5633 PATCH /uploads/ 500
	[[ "$stderr" = *"answers PATCH of 'refused/via-app' with 500"* ]]
	refuses 5634 PUT /uploads/ 500
	[[ "$stderr" = *"answers PUT of 'refused/via-app' with 500"* ]]
	refuses 5635 HEAD /blobs/ 500
	[[ "$stderr" = *"answers HEAD of 'refused/via-app' with 500"* ]]
	refuses 5636 PUT /manifests/ 400
	[[ "$stderr" = *"answers PUT of 'refused/via-app' with 400"* ]]
	refuses 5637 GET /v2/ 503
	[[ "$stderr" = *"503"* ]]
}

@test "a registry that takes the manifest and does not have it afterwards is not believed" {
	new_image via-app:dev
	hub door 5638 $PORT PUT /manifests/ 201
	via registry=127.0.0.1:5638/forgetful -o json via-app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"the registry does not confirm the push: the name stands for nothing there"* ]]
	[ "$(field '.images[0].outcome')" = pending ]
}

@test "a registry that mounts nothing gets the layer for each repository" {
	new_image via-base:dev 300
	printf 'FROM via-base:dev\nENV WHAT=other\n' | docker build -q -t via-other:dev - >/dev/null 2>&1
	hub door 5639 $PORT POST 'mount=' 405
	via registry=127.0.0.1:5639/unmounted -o json via-base:dev via-other:dev
	[ "$status" = 0 ]
	[ "$(field '[.images[].layersSent] | map(tostring) | join(",")')" = 2,2 ]
	[ "$(tags unmounted/via-other)" = dev ]
}

@test "a registry whose disk is full says so, and the name stays what it was" {
	mkdir "$BATS_FILE_TMPDIR/5641"
	mount -t tmpfs -o size=1m none "$BATS_FILE_TMPDIR/5641"
	serve 5641
	new_image via-app:dev 100
	via registry=127.0.0.1:5641 -o json via-app:dev
	[ "$status" = 0 ]
	before=$(field '.images[0].manifest')
	new_image via-app:dev 3000
	via registry=127.0.0.1:5641 via-app:dev
	after=$(curl -s -H 'Accept: application/vnd.oci.image.manifest.v1+json' http://127.0.0.1:5641/v2/via-app/manifests/dev | sha256sum | cut -d' ' -f1)
	kill "$(cat "$BATS_FILE_TMPDIR/5641.pid")"
	sleep 0.3
	umount "$BATS_FILE_TMPDIR/5641"
	[ "$status" = 1 ]
	[[ "$stderr" = *"the registry at http://127.0.0.1:5641 answers PATCH of 'via-app' with 500"* ]]
	[ "sha256:$after" = "$before" ]
}

# credentials PORT [USER:PASSWORD]: docker's configuration
credentials() {
	export DOCKER_CONFIG=$BATS_TEST_TMPDIR/docker
	mkdir -p "$DOCKER_CONFIG"
	printf '{"auths": {"127.0.0.1:%s": {"auth": "%s"}}}' "$1" "$(printf %s "$2" | base64)" >"$DOCKER_CONFIG/config.json"
}

@test "a password: none, a wrong one, the right one, and one that a helper keeps" {
	perl -e 'print "me:", crypt("secret", "\$2b\$05\$abcdefghijklmnopqrstuu"), "\n"' >"$BATS_FILE_TMPDIR/htpasswd"
	serve 5642 "auth: {htpasswd: {realm: test, path: $BATS_FILE_TMPDIR/htpasswd}}"
	new_image via-app:dev
	via registry=127.0.0.1:5642 via-app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"wants credentials for 'via-app', and docker's configuration has none for it; docker login 127.0.0.1:5642" ]]
	credentials 5642 me:wrong
	via registry=127.0.0.1:5642 via-app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"does not accept for 'via-app' the credentials that $DOCKER_CONFIG/config.json has"* ]]
	[[ "$stderr$output" != *wrong* ]]
	credentials 5642 me:secret
	via registry=127.0.0.1:5642 -vv via-app:dev
	[ "$status" = 0 ]
	[[ "$output" = *"pushed"* ]]
	[[ "$stderr$output" != *secret* ]]

	mkdir "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\nread host\n[ "$1 $host" = "get 127.0.0.1:5642" ] || { echo "credentials not found in native keychain"; exit 1; }\necho "{\\"ServerURL\\":\\"$host\\",\\"Username\\":\\"me\\",\\"Secret\\":\\"secret\\"}"\n' \
		>"$BATS_TEST_TMPDIR/bin/docker-credential-test"
	chmod +x "$BATS_TEST_TMPDIR/bin/docker-credential-test"
	for config in '{"credsStore": "test"}' '{"credHelpers": {"127.0.0.1:5642": "test"}}'; do
		echo "$config" >"$DOCKER_CONFIG/config.json"
		PATH=$BATS_TEST_TMPDIR/bin:$PATH via registry=127.0.0.1:5642 via-app:dev
		[ "$status" = 0 ]
		[[ "$output" = *"nothing to push"* ]]
	done
	echo '{"credsStore": "missing"}' >"$DOCKER_CONFIG/config.json"
	via registry=127.0.0.1:5642 via-app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"docker-credential-missing"*"going on without credentials"* ]]
}

@test "tokens: fetched from where the registry says, for each repository" {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tokens -keyout "$BATS_FILE_TMPDIR/key.pem" -out "$BATS_FILE_TMPDIR/cert.pem" 2>/dev/null
	hub tokens 5643 "$BATS_FILE_TMPDIR/key.pem" "$BATS_FILE_TMPDIR/cert.pem" me secret
	serve 5644 "auth: {token: {realm: 'http://127.0.0.1:5643/token', service: the registry, issuer: test, rootcertbundle: $BATS_FILE_TMPDIR/cert.pem}}"
	new_image via-base:dev 300
	printf 'FROM via-base:dev\nENV WHAT=other\n' | docker build -q -t via-other:dev - >/dev/null 2>&1
	credentials 5644 me:wrong
	via registry=127.0.0.1:5644 via-base:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"does not accept for 'via-base' the credentials"* ]]
	credentials 5644 me:secret
	via registry=127.0.0.1:5644 -o json via-base:dev via-other:dev
	[ "$status" = 0 ]
	[ "$(field '[.images[].layersSent] | map(tostring) | join(",")')" = 2,0 ]
	via registry=127.0.0.1:5644 -o json via-base:dev via-other:dev
	[ "$status" = 0 ]
	[ "$(field '[.images[].bytesSent] | add')" = 0 ]
}

@test "TLS: an unknown CA is refused, docker's place for a registry's own CA is looked at" {
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tls -addext 'subjectAltName=IP:127.0.0.1' -keyout "$BATS_FILE_TMPDIR/tls-key.pem" \
		-out "$BATS_FILE_TMPDIR/tls.pem" 2>/dev/null
	serve 5645 '' ", tls: {certificate: $BATS_FILE_TMPDIR/tls.pem, key: $BATS_FILE_TMPDIR/tls-key.pem}"
	new_image via-app:dev
	via registry=https://127.0.0.1:5645 via-app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"TLS with the registry at https://127.0.0.1:5645 fails"*"the CA that signed its certificate must be known here"* ]]
	mkdir -p "$HOME/.config/docker/certs.d/127.0.0.1:5645"
	cp "$BATS_FILE_TMPDIR/tls.pem" "$HOME/.config/docker/certs.d/127.0.0.1:5645/ca.crt"
	via registry=https://127.0.0.1:5645 via-app:dev
	[ "$status" = 0 ]
	[[ "$output" = *pushed* ]]
	# plain HTTP to it is no answer
	via registry=127.0.0.1:5645 via-app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"is no registry"*"registry=https://HOST"* ]]
	# and without being told, a host that is not this machine is asked by TLS
	via "registry=$GATEWAY:$PORT" via-app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"TLS with the registry at https://$GATEWAY:$PORT fails"* ]]
}

# Begin a push of 100 MB to the registry of PORT, which stands still in the middle of it.
begin_and_halt() {
	new_image via-app:dev 100000
	serve "$1"
	"$SIDELIFT" load "${@:2}" --via "registry=127.0.0.1:$1" via-app:dev >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	PUSH=$!
	for _ in $(seq 500); do
		[ -z "$(find "$BATS_FILE_TMPDIR/$1" -path '*/_uploads/*/data' -size +1000k 2>/dev/null)" ] || break
		sleep 0.01
	done
	kill -STOP "$(cat "$BATS_FILE_TMPDIR/$1.pid")"
	[ "$(unfinished "$1")" -gt 0 ]
}

@test "interrupted in the middle: no name, no half blob, nothing in the engine" {
	begin_and_halt 5646
	kill -INT $PUSH
	sleep 0.3
	kill -CONT "$(cat "$BATS_FILE_TMPDIR/5646.pid")"
	code=0
	wait $PUSH || code=$?
	[ "$code" = 130 ]
	grep -q 'interrupted' "$BATS_TEST_TMPDIR/out"
	[ "$(unfinished 5646)" = 0 ]
	[ -z "$(tags via-app 5646)" ]
	wants_nothing_left
	via registry=127.0.0.1:5646 via-app:dev
	[ "$status" = 0 ]
}

@test "--timeout ends a push to a registry that hangs" {
	begin_and_halt 5647 --timeout 4s
	code=0
	wait $PUSH || code=$?
	kill -CONT "$(cat "$BATS_FILE_TMPDIR/5647.pid")"
	[ "$code" = 1 ]
	grep -q 'not done within 4s' "$BATS_TEST_TMPDIR/out"
	[ -z "$(tags via-app 5647)" ]
}

@test "who may not read the engine's store pushes by the helper, and reads no cluster" {
	new_image via-app:dev 300
	chmod 777 "$BATS_TEST_TMPDIR"
	run --separate-stderr setpriv --reuid 65534 --regid 65534 --groups "$(stat -c %g /var/run/docker.sock)" \
		env KUBECONFIG=/nonexistent "$SIDELIFT" load --via "registry=$REGISTRY/user" -o json via-app:dev
	[ "$status" = 0 ]
	[ "$(field .exporter)" = store ]
	[ "$(field '.images[0].outcome')" = pushed ]
}

# ENGINE: what is built there goes by what the engine has, and only what is lacking
pushes_from() {
	export DOCKER_HOST=$1
	new_image via-app:dev 300
	via "registry=$REGISTRY/$2" -o json via-app:dev
	[ "$status" = 0 ]
	[ "$(field '.images[0].layersSent')" = 2 ]
	head -c 4000 /dev/urandom >"$CTX/top"
	build_image via-app:dev "$CTX"
	mark
	via "registry=$REGISTRY/$2" -o json via-app:dev
	[ "$status" = 0 ]
	[ "$(field '.images[0].layersSent')" = 1 ]
	[ "$(requests PATCH)" = 2 ]
	via "registry=$REGISTRY/$2" -o json via-app:dev
	[ "$status" = 0 ]
	[ "$(field '.images[0].bytesSent')" = 0 ]
	[ "$(field '.images[0].outcome')" = present ]
	[ -z "$(docker images --format '{{.Repository}}:{{.Tag}}' | grep '127.0.0.1\|localhost:[0-9]')" ]
	unset DOCKER_HOST
	name=$GATEWAY:$PORT/$2/via-app:dev
	pull "$NODE" "$name"
	[ "$(file_on_node "$NODE" "$name" top)" = "$(hash_of "$CTX/top")" ]
}

@test "docker with the containerd image store: the blobs go as they are there" {
	store=$("$ROOT/tests/bed/engine.sh" viareg-store docker-sid-containerd 2>/dev/null)
	pushes_from "$store" store
}

@test "podman" {
	pod=$("$ROOT/tests/bed/engine.sh" viareg-pod podman 2>/dev/null)
	pushes_from "$pod" pod
}
