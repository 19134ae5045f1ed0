#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# minikube's machines, reached by nothing but a real sshd and its profile's files; and
# docker switched to the engine in a node.

load helpers/common

NAME=machines
NODES=(machines machines-m02)

setup_file() {
	KUBECONFIG=$(BED_PROVIDER=minikube "$ROOT/tests/bed/nodes-only.sh" $NAME docker-bookworm podman 2>/dev/null)
	export PKI=${KUBECONFIG%/*}/pki
	CA=$(kubectl config view --raw --minify -o jsonpath='{.clusters[0].cluster.certificate-authority-data}' --kubeconfig "$KUBECONFIG")
	export MINIKUBE_HOME=$BATS_FILE_TMPDIR/minikube DOT=$BATS_FILE_TMPDIR/dot
	dir=$MINIKUBE_HOME/.minikube
	mkdir -p "$dir/profiles/$NAME" "$DOT"
	ip=() entries=()
	for i in 0 1; do
		ip[i]=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "${NODES[i]}")
		mkdir -p "$dir/machines/${NODES[i]}"
		printf '{"Driver":{"IPAddress":"%s","SSHPort":22,"SSHUser":"docker","SSHKeyPath":"%s/id_rsa"}}' "${ip[i]}" "$PKI" >"$dir/machines/${NODES[i]}/config.json"
	done
	printf '{"Name":"%s","Driver":"kvm2","KubernetesConfig":{"ContainerRuntime":"docker"},"Nodes":[{"Name":"","IP":"%s","Port":8443,"ControlPlane":true},{"Name":"m02","IP":"%s","Port":0,"ContainerRuntime":"crio","Worker":true}]}' \
		$NAME "${ip[0]}" "${ip[1]}" >"$dir/profiles/$NAME/config.json"
	cat >"$BATS_FILE_TMPDIR/kubeconfig" <<-C
	apiVersion: v1
	current-context: $NAME
	contexts: [{name: $NAME, context: {cluster: c, user: u}}]
	clusters: [{name: c, cluster: {server: "https://${ip[0]}:8443", certificate-authority-data: $CA}}]
	users: [{name: u, user: {}}]
	C
	# for ssh:// engines
	printf 'Host *\n User docker\n IdentityFile %s/id_rsa\n StrictHostKeyChecking accept-new\n LogLevel ERROR\n' "$PKI" >"$DOT/config"
	chmod 700 "$DOT"
	mkdir -p /root/.ssh
	export BY_LABELS=$KUBECONFIG KUBECONFIG=$BATS_FILE_TMPDIR/kubeconfig ENGINE_HOST="ssh://docker@${ip[0]}"
}

teardown_file() {
	"$ROOT/tests/bed/down.sh" $NAME
	docker images --format '{{.Repository}}:{{.Tag}}' | grep '^machines-' | xargs -r docker rmi -f >/dev/null 2>&1 || true
}

# by_ssh COMMAND...: with $DOT as root's ~/.ssh, which is where ssh looks, whatever HOME says
by_ssh() { unshare -m bash -c 'mount --bind "$0" /root/.ssh && exec "$@"' "$DOT" "$@"; }

id_in() { # NODE TAG
	case $1 in
	machines) docker exec "$1" docker image inspect -f '{{.Id}}' "$2" 2>/dev/null ;;
	*) echo "sha256:$(docker exec "$1" podman image inspect -f '{{.Id}}' "docker.io/library/$2" 2>/dev/null)" ;;
	esac
}

all_have() { [ "$(id_in machines "$1")" = "$(config_in_engine "$1")" ] && [ "$(id_in machines-m02 "$1")" = "$(config_in_engine "$1")" ]; }

@test "by ssh: context, first load, nothing to do, a changed layer, listed, removed" {
	run --separate-stderr "$SIDELIFT" context -o json
	[ "$status" = 0 ]
	[ "$(jq -r '[.cluster.provider, .cluster.proven, (.cluster.nodes[] | .reachedBy, .runtime)] | map(tostring) | join(" ")' <<<"$output")" = "minikube true ssh dockerd ssh cri-o" ]
	new_image machines-app:dev 1200
	run --separate-stderr "$SIDELIFT" load -vv -o json machines-app:dev
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[].outcome] | join(" ")' <<<"$output")" = "loaded loaded" ]
	# one connection for all commands
	[ "$(grep -c 'ssh to docker@' <<<"$stderr")" = 2 ]
	all_have machines-app:dev
	run --separate-stderr "$SIDELIFT" load machines-app:dev
	[ "$(grep -c 'present already' <<<"$output")" = 2 ]
	head -c 6000 /dev/urandom >"$CTX/top"
	build_image machines-app:dev "$CTX"
	run --separate-stderr "$SIDELIFT" load -o json machines-app:dev
	[ "$(jq -r '[.nodes[].layersSent] | join(" ")' <<<"$output")" = "1 1" ]
	[ "$(jq -r '[.nodes[].bytesSent] | max' <<<"$output")" -lt 14000 ]
	all_have machines-app:dev
	run --separate-stderr "$SIDELIFT" images -o json
	[ "$(jq -r '.images[] | select(.name == "docker.io/library/machines-app:dev") | [.nodes[].freshness] | join(" ")' <<<"$output")" = "current current" ]
	"$SIDELIFT" prune machines-app:dev
	run id_in machines machines-app:dev
	[ "$status" != 0 ]
	[ "$(id_in machines-m02 machines-app:dev)" = sha256: ]
}

@test "by ssh: a machine that is down, a key that does not fit, the other one is served" {
	new_image machines-half:dev
	cp -r "$MINIKUBE_HOME" "$BATS_TEST_TMPDIR/mk"
	export MINIKUBE_HOME=$BATS_TEST_TMPDIR/mk
	file=$MINIKUBE_HOME/.minikube/machines/machines-m02/config.json
	sed -i 's/"SSHPort":22/"SSHPort":2/' "$file"
	run --separate-stderr "$SIDELIFT" load machines-half:dev
	[ "$status" = 3 ]
	[[ "$stderr" = *"node 'machines-m02': "*"Connection refused"* ]]
	[ "$(id_in machines machines-half:dev)" = "$(config_in_engine machines-half:dev)" ]
	ssh-keygen -q -t ed25519 -N '' -f "$BATS_TEST_TMPDIR/other"
	sed -i "s|\"SSHPort\":2,|\"SSHPort\":22,|; s|\"SSHKeyPath\":\"[^\"]*\"|\"SSHKeyPath\":\"$BATS_TEST_TMPDIR/other\"|" "$file"
	run --separate-stderr "$SIDELIFT" load machines-half:dev
	[ "$status" = 3 ]
	[[ "$stderr" = *"node 'machines-m02': "*"Permission denied"* ]]
}

@test "by ssh: interrupted and killed in the middle, nothing is left" {
	new_image machines-kill:dev 150000
	before=$(docker exec machines sh -c 'docker image ls -aq; ls /var/lib/docker/tmp /tmp'; docker exec machines-m02 sh -c 'podman image ls -aq; ls /var/tmp /tmp')
	for signal in INT KILL; do
		"$SIDELIFT" load machines-kill:dev >/dev/null 2>&1 3>&- &
		pid=$!
		sleep 0.5
		kill -$signal $pid
		wait $pid || true
	done
	for _ in $(seq 40); do
		after=$(docker exec machines sh -c 'docker image ls -aq; ls /var/lib/docker/tmp /tmp'; docker exec machines-m02 sh -c 'podman image ls -aq; ls /var/tmp /tmp')
		[ "$before" != "$after" ] || break
		sleep 0.5
	done
	diff <(echo "$before") <(echo "$after")
	# the processes as well, here and there
	for _ in $(seq 40); do
		[ -n "$(pgrep -f "$PKI/id_rsa")$(docker exec machines pgrep -f sidelift)" ] || break
		sleep 0.5
	done
	[ -z "$(pgrep -f "$PKI/id_rsa")$(docker exec machines pgrep -f sidelift)" ]
}

@test "docker switched into the node: that node needs no load, the other one does" {
	new_image machines-own:dev
	docker save machines-own:dev | docker exec -i machines docker load -q >/dev/null
	export DOCKER_HOST=$ENGINE_HOST MINIKUBE_ACTIVE_DOCKERD=$NAME
	run --separate-stderr by_ssh "$SIDELIFT" context -o json
	[ "$status" = 0 ]
	[ "$(jq -r '.switched | .profile + " " + (.stale | tostring)' <<<"$output")" = "machines false" ]
	[ "$(jq -r '[.cluster.nodes[] | .sharesEngine, .loadNeeded] | map(tostring) | join(" ")' <<<"$output")" = "true false false true" ]
	run --separate-stderr by_ssh "$SIDELIFT" load -o json machines-own:dev
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[].outcome] | join(" ")' <<<"$output")" = "present loaded" ]
	unset DOCKER_HOST
	[ "$(id_in machines-m02 machines-own:dev)" = "$(config_in_engine machines-own:dev)" ]
	# the same nodes as containers on the engine that was there before, though docker is switched
	run --separate-stderr by_ssh env DOCKER_HOST="$ENGINE_HOST" KUBECONFIG="$BY_LABELS" MINIKUBE_HOME=/nowhere "$SIDELIFT" load -o json machines-own:dev
	[ "$status" = 0 ]
	[ "$(jq -r '[.nodes[].outcome] | unique | join(" ")' <<<"$output")" = present ]
	# an image that only the switched engine would have, asked of it
	run --separate-stderr by_ssh env DOCKER_HOST="$ENGINE_HOST" "$SIDELIFT" load machines-nowhere:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"no image 'machines-nowhere:dev' in the engine at $ENGINE_HOST"* ]]
}

@test "the none driver: this machine is the node, and its engine is the one that builds" {
	new_image machines-none:dev
	dir=$BATS_TEST_TMPDIR/none/.minikube
	mkdir -p "$dir/profiles/machines-none" /var/lib/minikube
	echo '{"Driver":"none","KubernetesConfig":{"ContainerRuntime":"docker"},"Nodes":[{"Name":"","IP":"127.0.0.1","Port":8444,"ControlPlane":true}]}' >"$dir/profiles/machines-none/config.json"
	sed 's|server: "[^"]*"|server: "https://127.0.0.1:8444"|' "$KUBECONFIG" >"$BATS_TEST_TMPDIR/kubeconfig"
	export KUBECONFIG=$BATS_TEST_TMPDIR/kubeconfig MINIKUBE_HOME=$BATS_TEST_TMPDIR/none
	# only here is the cluster's CA where minikube has it
	here() { unshare -m bash -c 'mount -t tmpfs none /var/lib/minikube && mkdir /var/lib/minikube/certs && cp "$PKI/ca.crt" /var/lib/minikube/certs/ && exec "$@"' x "$@"; }
	run --separate-stderr here "$SIDELIFT" context -o json
	[ "$status" = 0 ]
	[ "$(jq -r '.cluster | [.provider, .name, .proven, .nodes[0].reachedBy, .nodes[0].runtime, .nodes[0].sharesEngine] | map(tostring) | join(" ")' <<<"$output")" = \
		"minikube machines-none true local dockerd true" ]
	[ "$(jq -r .loadNeeded <<<"$output")" = false ]
	run --separate-stderr here "$SIDELIFT" load machines-none:dev
	[ "$status" = 0 ]
	[[ "$output" = *"present already"* ]]
	# without that CA it could be anybody's
	run --separate-stderr "$SIDELIFT" load machines-none:dev
	[ "$status" = 5 ]
	rmdir /var/lib/minikube 2>/dev/null || true
}
