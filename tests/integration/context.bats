#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Which cluster is meant, and what `sidelift context` and `docker-env` say of it.
# kubectl is the judge of what a kubeconfig's current context is.

load helpers/common

setup_file() {
	BED_KUBECONFIG=$("$ROOT/tests/bed/nodes-only.sh" ctx bookworm newest 2>/dev/null)
	export BED_KUBECONFIG
	# containers as minikube's docker driver labels and publishes its nodes
	docker run -d --name ctxmk --label created_by.minikube.sigs.k8s.io=true --label name.minikube.sigs.k8s.io=ctxmk \
		--label role.minikube.sigs.k8s.io=control-plane --label mode.minikube.sigs.k8s.io=ctxmk \
		-p 127.0.0.1:0:2376 -p 127.0.0.1:0:22 -p 127.0.0.1:0:8443 --entrypoint sleep sidelift-bed:bookworm infinity >/dev/null
	docker run -d --name ctxmk2 --label created_by.minikube.sigs.k8s.io=true --label name.minikube.sigs.k8s.io=ctxmk2 \
		--label role.minikube.sigs.k8s.io=control-plane --label mode.minikube.sigs.k8s.io=ctxmk2 \
		-p 127.0.0.1:0:2376 --entrypoint sleep sidelift-bed:bookworm infinity >/dev/null
}

teardown_file() {
	docker rm -f ctxmk ctxmk2 >/dev/null
	"$ROOT/tests/bed/down.sh" ctx
}

setup() {
	export HOME=$BATS_TEST_TMPDIR/home
	mkdir -p "$HOME"
	unset DOCKER_BUILDKIT DOCKER_HOST DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH MINIKUBE_HOME MINIKUBE_PROFILE MINIKUBE_ACTIVE_DOCKERD
	export KUBECONFIG=$BED_KUBECONFIG
	server=$(kubectl config view --minify -o jsonpath='{.clusters[0].cluster.server}')
	port=${server##*:}
	ca=$(kubectl config view --raw --minify -o jsonpath='{.clusters[0].cluster.certificate-authority-data}')
	at=$BATS_TEST_TMPDIR
}

# kubeconfig FILE CONTEXT SERVER [CA]: with that as the current context
kubeconfig() {
	cat >"$1" <<-C
	apiVersion: v1
	kind: Config
	current-context: $2
	contexts: [{name: $2, context: {cluster: c-$2, user: u}}]
	clusters: [{name: c-$2, cluster: {server: "$3"${4:+, certificate-authority-data: $4}}}]
	users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: /no/such/plugin, interactiveMode: Never}}}]
	C
}

# is CLUSTER [ARGUMENT...]: that cluster is meant, and where kubectl has a say, its context
is() {
	local wanted=$1 theirs
	shift
	run --separate-stderr "$SIDELIFT" context -o json "$@"
	[ "$status" = 0 ] || { echo "exit $status: $output $stderr"; return 1; }
	[ "$(jq -r '.cluster | .provider + "/" + .name' <<<"$output")" = "$wanted" ] || return 1
	theirs=$(kubectl config current-context 2>/dev/null) || return 0
	[ $# -gt 0 ] || [ "$(jq -r .cluster.context <<<"$output")" = "$theirs" ]
}

# refused CODE TEXT [ARGUMENT...]
refused() {
	local code=$1 text=$2
	shift 2
	run --separate-stderr "$SIDELIFT" context "$@"
	[ "$status" = "$code" ] && [[ "$output$stderr" = *"$text"* ]] || { echo "exit $status, not $code: $output $stderr"; return 1; }
}

@test "the engine, the cluster, its nodes and their runtimes, each with its evidence" {
	run --separate-stderr "$SIDELIFT" context
	[ "$status" = 0 ]
	[[ "$output" = *"engine   unix:///var/run/docker.sock"*"because of: the default socket"* ]]
	[[ "$output" = *"cluster  kind/ctx"*"context 'kind-ctx' ($server)"*"the CA on the control plane is the kubeconfig's"* ]]
	[[ "$output" = *"ctx-control-plane  control plane, containerd 1.6."*"snapshotter overlayfs, by exec"* ]]
	[[ "$output" = *"ctx-worker  worker, containerd 2.4."* ]]
	[[ "$output" = *"load     needed"* ]]
	run --separate-stderr "$SIDELIFT" context -o json
	[ "$(jq -r '[.kind, .cluster.proven, .loadNeeded, (.cluster.nodes | length), .engine.api] | map(tostring) | join(" ")' <<<"$output")" = "Context true true 2 1.41" ]
}

@test "every variable of docker and minikube, with what it does" {
	run --separate-stderr env DOCKER_HOST=unix:///var/run/docker.sock DOCKER_CONTEXT=other DOCKER_TLS_VERIFY=1 MINIKUBE_HOME=/nowhere DOCKER_EMPTY= "$SIDELIFT" context
	[ "$status" = 0 ]
	[[ "$output" = *"DOCKER_HOST=unix:///var/run/docker.sock"*"it is the engine"* ]]
	[[ "$output" = *"DOCKER_CONTEXT=other"*"none: DOCKER_HOST goes before it"* ]]
	[[ "$output" = *"DOCKER_TLS_VERIFY=1"*"none: a socket needs no TLS"* ]]
	[[ "$output" = *"MINIKUBE_HOME=/nowhere"*"profiles and machines are there"* ]]
	[[ "$output" = *"DOCKER_EMPTY="*"none: it is empty"* ]]
}

# ---- the kubeconfig ----

@test "kubeconfig: one file" { is kind/ctx; }

@test "kubeconfig: of several the first that names a current context" {
	kubeconfig "$at/remote" far https://203.0.113.5:6443
	KUBECONFIG=$BED_KUBECONFIG:$at/remote is kind/ctx
	KUBECONFIG=$at/remote:$BED_KUBECONFIG refused 5 "context 'far'"
}

@test "kubeconfig: a context in one file, its cluster in another" {
	printf 'apiVersion: v1\nkind: Config\ncurrent-context: mine\n' >"$at/a"
	printf 'contexts: [{name: mine, context: {cluster: kind-ctx, user: u}}]\n' >"$at/b"
	KUBECONFIG=$at/a:$at/b:$BED_KUBECONFIG is kind/ctx
}

@test "kubeconfig: a missing file in the list is passed over" { KUBECONFIG=$at/missing:$BED_KUBECONFIG is kind/ctx; }

@test "kubeconfig: --kube-context beats the current one" {
	kubeconfig "$at/remote" far https://203.0.113.5:6443
	KUBECONFIG=$at/remote:$BED_KUBECONFIG is kind/ctx --kube-context kind-ctx
}

@test "kubeconfig: --kubeconfig beats KUBECONFIG" {
	kubeconfig "$at/remote" far https://203.0.113.5:6443
	KUBECONFIG=$at/remote is kind/ctx --kubeconfig "$BED_KUBECONFIG"
	refused 1 "missing" --kubeconfig "$at/missing"
}

@test "kubeconfig: ~/.kube/config without KUBECONFIG" {
	unset KUBECONFIG
	mkdir "$HOME/.kube"
	cp "$BED_KUBECONFIG" "$HOME/.kube/config"
	is kind/ctx
}

@test "kubeconfig: a user with an exec plugin is never run" {
	kubeconfig "$at/exec" any "$server" "$ca"
	KUBECONFIG=$at/exec is kind/ctx
}

@test "kubeconfig: the address decides, not the name" {
	kubeconfig "$at/odd" production-eu "https://localhost:$port" "$ca"
	KUBECONFIG=$at/odd is kind/ctx
	kubeconfig "$at/odd" kind-ctx "https://203.0.113.5:$port" "$ca"
	KUBECONFIG=$at/odd refused 5 "is not provably a local cluster"
}

@test "kubeconfig: the node's own address is its address, too" {
	ip=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' ctx-control-plane)
	kubeconfig "$at/ip" direct "https://$ip:6443" "$ca"
	KUBECONFIG=$at/ip is kind/ctx
}

@test "kubeconfig: a CA by a file's name, beside the kubeconfig" {
	base64 -d <<<"$ca" >"$at/ca.pem"
	kubeconfig "$at/file" byfile "$server"
	sed -i 's|cluster: {server: \(.*\)}}\]|cluster: {server: \1, certificate-authority: ca.pem}}]|' "$at/file"
	KUBECONFIG=$at/file is kind/ctx
	rm "$at/ca.pem"
	KUBECONFIG=$at/file refused 1 "ca.pem"
}

@test "kubeconfig: right address, foreign CA; no CA at all" {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null -out "$at/other.pem" -days 2 -subj /CN=x 2>/dev/null
	kubeconfig "$at/foreign" kind-ctx "$server" "$(base64 -w0 <"$at/other.pem")"
	KUBECONFIG=$at/foreign refused 5 "trusts another certificate authority than that cluster has; the kubeconfig may be older than the cluster (kind export kubeconfig --name ctx)"
	kubeconfig "$at/none" kind-ctx "$server"
	KUBECONFIG=$at/none refused 5 "names no certificate authority"
}

@test "kubeconfig: broken YAML, base64 that is none, a context without a cluster" {
	printf 'apiVersion: v1\n\tbroken\n' >"$at/broken"
	KUBECONFIG=$at/broken refused 1 "$at/broken"
	kubeconfig "$at/b64" kind-ctx "$server" '"%%%"'
	KUBECONFIG=$at/b64 refused 1 "is not base64"
	printf 'current-context: x\ncontexts: [{name: x, context: {cluster: gone}}]\n' >"$at/gone"
	KUBECONFIG=$at/gone refused 1 "names cluster 'gone', which has no server"
	printf 'current-context: nowhere\n' >"$at/dangling"
	KUBECONFIG=$at/dangling refused 1 "no context 'nowhere'"
}

@test "kubeconfig: somewhere else is refused, with what to do instead" {
	kubeconfig "$at/remote" arn:aws:eks:eu-west-1:1:cluster/prod https://ABC.gr7.eu-west-1.eks.amazonaws.com "$ca"
	KUBECONFIG=$at/remote refused 5 "push to a registry that this cluster pulls from"
}

@test "appliances are known, and told what to do" {
	kubeconfig "$at/dd" docker-desktop https://kubernetes.docker.internal:6443 "$ca"
	KUBECONFIG=$at/dd refused 5 "is Docker Desktop's own Kubernetes, whose images are those of Docker Desktop's engine"
	kubeconfig "$at/colima" colima https://127.0.0.1:1 "$ca"
	KUBECONFIG=$at/colima refused 5 "docker context use colima"
	kubeconfig "$at/rd" rancher-desktop https://127.0.0.1:2 "$ca"
	KUBECONFIG=$at/rd refused 5 "nerdctl -n k8s.io load"
	kubeconfig "$at/mk8s" microk8s https://127.0.0.1:16443 "$ca"
	KUBECONFIG=$at/mk8s refused 5 "microk8s ctr image import"
	kubeconfig "$at/k3s" default https://127.0.0.1:6443 "$ca"
	KUBECONFIG=$at/k3s refused 5 "k3s ctr images import"
}

# ---- names ----

@test "--cluster, KIND_CLUSTER_NAME, -p and MINIKUBE_PROFILE go past the kubeconfig" {
	kubeconfig "$at/remote" far https://203.0.113.5:6443
	export KUBECONFIG=$at/remote
	is kind/ctx --cluster kind/ctx
	is kind/ctx --cluster ctx
	KIND_CLUSTER_NAME=ctx is kind/ctx --node ctx-worker
	refused 1 "no cluster 'minikube/nobody'" -p nobody
	MINIKUBE_PROFILE=nobody refused 1 "no cluster 'minikube/nobody'"
	refused 1 "no cluster 'kind/nobody' on this engine (it runs: " --cluster kind/nobody
	refused 1 "has no node 'x' (it has: ctx-control-plane, ctx-worker)" --cluster kind/ctx --node x
}

@test "no context and several clusters: refused with their names" {
	printf 'apiVersion: v1\nkind: Config\n' >"$at/empty"
	KUBECONFIG=$at/empty refused 1 "several clusters run here"
	[[ "$output" = *kind/ctx* && "$output" = *minikube/ctxmk* ]]
}

@test "the nodes may be on another engine than the images" {
	run --separate-stderr "$SIDELIFT" context -o json --docker-host unix:///nowhere.sock
	[ "$status" = 1 ]
	[ "$(jq -r .cluster.name <<<"$output")" = ctx ]
	[ "$(jq -r .cluster.engine <<<"$output")" = unix:///var/run/docker.sock ]
	[[ "$(jq -r .engine.error <<<"$output")" = *"no engine answers at unix:///nowhere.sock"* ]]
	refused 5 "not provably a local cluster" --node-engine unix:///nowhere.sock || [[ "$output" = *"no engine answers at unix:///nowhere.sock"* ]]
}

@test "minikube's machines are found by its files" {
	dir=$at/mk/.minikube
	mkdir -p "$dir/profiles/vm" "$dir/machines/vm" "$dir/profiles/broken" "$dir/profiles/kic"
	echo '{"Driver":"kvm2","Nodes":[{"Name":"","IP":"192.0.2.7","Port":8443,"ControlPlane":true}],"KubernetesConfig":{"ContainerRuntime":"containerd"}}' >"$dir/profiles/vm/config.json"
	echo '{"Driver":{"IPAddress":"127.0.0.1","SSHPort":1,"SSHUser":"docker","SSHKeyPath":"/no/key"}}' >"$dir/machines/vm/config.json"
	echo 'no json' >"$dir/profiles/broken/config.json"
	echo '{"Driver":"docker","Nodes":[{"Name":"","IP":"192.0.2.8","Port":8443,"ControlPlane":true}]}' >"$dir/profiles/kic/config.json"
	kubeconfig "$at/vm" vm https://192.0.2.7:8443 "$ca"
	export KUBECONFIG=$at/vm MINIKUBE_HOME=$at/mk
	run --separate-stderr "$SIDELIFT" context -o json
	[ "$status" = 1 ]
	[ "$(jq -r '.cluster | .provider + "/" + .name + " " + .nodes[0].reachedBy' <<<"$output")" = "minikube/vm ssh" ]
	[[ "$(jq -r '.cluster.nodes[0].error' <<<"$output")" = *"Connection refused"* ]]
	[[ "$stderr" = *"warning: $dir/profiles/broken/config.json is not valid JSON"*"'broken' is passed over"* ]]
	# MINIKUBE_HOME may end in .minikube already
	MINIKUBE_HOME=$dir is minikube/vm || [ "$(jq -r .cluster.name <<<"$output")" = vm ]
}

# ---- docker-env ----

@test "docker-env in bash, zsh, fish and tcsh, and back to what was there" {
	mk=$(docker port ctxmk 2376/tcp | head -1)
	back='echo "H=$DOCKER_HOST T=$DOCKER_TLS_VERIFY A=$MINIKUBE_ACTIVE_DOCKERD S=$SSH_AUTH_SOCK"'
	for shell in bash zsh fish tcsh; do
		case $shell in
		fish) eval='sidelift docker-env -p ctxmk --shell fish | source'; undo='sidelift docker-env -u --shell fish | source' ;;
		tcsh) eval='eval `sidelift docker-env -p ctxmk --shell tcsh`'; undo='eval `sidelift docker-env -u --shell tcsh`' ;;
		*) eval='eval $(sidelift docker-env -p ctxmk --shell '$shell')'; undo='eval $(sidelift docker-env -u --shell '$shell')' ;;
		esac
		case $shell in tcsh) flags=-fc ;; *) flags=-c ;; esac
		show='echo "H=$DOCKER_HOST A=$MINIKUBE_ACTIVE_DOCKERD"'
		# from a clean environment: afterwards nothing is left
		run --separate-stderr env -u DOCKER_HOST PATH="${SIDELIFT%/*}:$PATH" $shell $flags "$eval; $show; $undo; env"
		[ "$status" = 0 ] || { echo "$shell: $output $stderr"; return 1; }
		[[ "$output" = *"H=tcp://$mk A=ctxmk"* ]] || { echo "$shell: $output"; return 1; }
		[[ "$output" != *$'\n'"DOCKER_"* && "$output" != *$'\n'"MINIKUBE_"* ]] || { echo "$shell: $output"; return 1; }
		# what was there comes back, twice switched or once, and the agent stays
		run --separate-stderr env DOCKER_HOST="ssh://some one@h" DOCKER_CERT_PATH='/a$b"c`d' SSH_AUTH_SOCK=/mine PATH="${SIDELIFT%/*}:$PATH" \
			$shell $flags "$eval; $eval; $show; $undo; env"
		[ "$status" = 0 ]
		[[ "$output" = *"H=tcp://$mk A=ctxmk"* ]]
		[[ "$output" = *$'\n'"DOCKER_HOST=ssh://some one@h"* && "$output" = *$'\n''DOCKER_CERT_PATH=/a$b"c`d'* && "$output" = *"SSH_AUTH_SOCK=/mine"* ]] || { echo "$shell: $output"; return 1; }
		[[ "$output" != *$'\n'"MINIKUBE_"* && "$output" != *$'\n'"DOCKER_TLS_VERIFY"* ]] || { echo "$shell: $output"; return 1; }
	done
}

@test "docker-env for shells that are not here, word for word" {
	mk=$(docker port ctxmk 2376/tcp | head -1)
	export HOME=/home/u DOCKER_HOST='tcp://a"b'
	expected_powershell='$Env:DOCKER_TLS_VERIFY = "1"
$Env:DOCKER_HOST = "tcp://'$mk'"
$Env:DOCKER_CERT_PATH = "/home/u/.minikube/certs"
$Env:MINIKUBE_EXISTING_DOCKER_HOST = "tcp://a`"b"
$Env:MINIKUBE_ACTIVE_DOCKERD = "ctxmk"'
	expected_cmd='SET DOCKER_TLS_VERIFY=1
SET DOCKER_HOST=tcp://'$mk'
SET DOCKER_CERT_PATH=/home/u/.minikube/certs
SET MINIKUBE_EXISTING_DOCKER_HOST=tcp://a"b
SET MINIKUBE_ACTIVE_DOCKERD=ctxmk'
	expected_emacs='(setenv "DOCKER_TLS_VERIFY" "1")
(setenv "DOCKER_HOST" "tcp://'$mk'")
(setenv "DOCKER_CERT_PATH" "/home/u/.minikube/certs")
(setenv "MINIKUBE_EXISTING_DOCKER_HOST" "tcp://a\"b")
(setenv "MINIKUBE_ACTIVE_DOCKERD" "ctxmk")'
	expected_none='DOCKER_TLS_VERIFY=1
DOCKER_HOST=tcp://'$mk'
DOCKER_CERT_PATH=/home/u/.minikube/certs
MINIKUBE_EXISTING_DOCKER_HOST=tcp://a"b
MINIKUBE_ACTIVE_DOCKERD=ctxmk'
	for shell in powershell cmd emacs none; do
		run --separate-stderr "$SIDELIFT" docker-env -p ctxmk --node-engine unix:///var/run/docker.sock --shell $shell
		[ "$status" = 0 ]
		expected=expected_$shell
		[ "$output" = "${!expected}" ] || { diff <(echo "$output") <(echo "${!expected}"); return 1; }
	done
	run --separate-stderr env MINIKUBE_ACTIVE_DOCKERD=x MINIKUBE_EXISTING_DOCKER_HOST=y "$SIDELIFT" docker-env -u --shell powershell
	[ "$output" = '$Env:DOCKER_HOST = "y"
Remove-Item Env:\\MINIKUBE_EXISTING_DOCKER_HOST
Remove-Item Env:\\MINIKUBE_ACTIVE_DOCKERD' ]
	run --separate-stderr env MINIKUBE_ACTIVE_DOCKERD=x "$SIDELIFT" docker-env -u --shell none
	[ "$output" = 'DOCKER_HOST
MINIKUBE_ACTIVE_DOCKERD' ]
}

@test "docker-env where there is nothing to switch, and words it does not know" {
	run --separate-stderr "$SIDELIFT" docker-env --cluster kind/ctx
	[ "$status" = 1 ]
	[[ "$stderr" = *"have no Docker engine that a docker client could use; put images into them by: sidelift load IMAGE"* ]]
	run --separate-stderr "$SIDELIFT" docker-env -u
	[ "$status" = 0 ]
	[ -z "$output" ]
	[[ "$stderr" = *"docker is not switched"* ]]
	run --separate-stderr "$SIDELIFT" docker-env --shell elvish
	[ "$status" = 2 ]
	run --separate-stderr "$SIDELIFT" docker-env extra
	[ "$status" = 2 ]
}

@test "minikube's own agent goes with the switch, the user's stays" {
	mkdir -p "$HOME/.minikube/profiles/ctxmk"
	echo '{"Driver":"docker","SSHAuthSock":"/tmp/minikubes-agent","SSHAgentPID":7}' >"$HOME/.minikube/profiles/ctxmk/config.json"
	run --separate-stderr env MINIKUBE_ACTIVE_DOCKERD=ctxmk SSH_AUTH_SOCK=/tmp/minikubes-agent SSH_AGENT_PID=7 "$SIDELIFT" docker-env -u --shell none
	[[ "$output" = *SSH_AUTH_SOCK*SSH_AGENT_PID* ]]
	run --separate-stderr env MINIKUBE_ACTIVE_DOCKERD=ctxmk SSH_AUTH_SOCK=/tmp/mine SSH_AGENT_PID=8 "$SIDELIFT" docker-env -u --shell none
	[[ "$output" != *SSH_* ]]
}

@test "a switch that no longer holds is named as that" {
	mk=$(docker port ctxmk 2376/tcp | head -1)
	# the cluster is there, its engine does not speak (the container has none)
	export MINIKUBE_ACTIVE_DOCKERD=ctxmk
	run --separate-stderr env DOCKER_HOST="tcp://$mk" "$SIDELIFT" context -o json
	[ "$(jq -r '.switched | .profile + " " + (.stale | tostring)' <<<"$output")" = "ctxmk false" ]
	run --separate-stderr env DOCKER_HOST="ssh://docker@$(docker port ctxmk 22/tcp | head -1)" "$SIDELIFT" context -o json
	[ "$(jq -r '.switched.stale' <<<"$output")" = false ]
	# another port
	run --separate-stderr env DOCKER_HOST=tcp://127.0.0.1:1 "$SIDELIFT" load app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"minikube cluster 'ctxmk' is at another address now; go back by: eval \$(sidelift docker-env -u)"* ]]
	# another profile's
	run --separate-stderr env DOCKER_HOST="tcp://$(docker port ctxmk2 2376/tcp | head -1)" "$SIDELIFT" context
	[[ "$output" = *"which no longer holds: that is where minikube cluster 'ctxmk2' is now"* ]]
	# gone
	run --separate-stderr env MINIKUBE_ACTIVE_DOCKERD=gone DOCKER_HOST=tcp://127.0.0.1:1 "$SIDELIFT" context -o json
	[ "$(jq -r '.switched.why' <<<"$output")" = "there is no minikube cluster 'gone' any more" ]
	[ "$(jq -r '.switched.wayBack' <<<"$output")" = 'eval $(sidelift docker-env -u)' ]
	# the cluster itself is found all the same: on the engine that was there before
	[ "$(jq -r '.cluster.name' <<<"$output")" = ctx ]
}

# ---- time ----

@test "an engine that does not answer is told within two seconds" {
	socat UNIX-LISTEN:"$at/silent.sock",fork EXEC:'sleep 60' 3>&- &
	silent=$!
	sleep 0.3
	begin=$(date +%s%N)
	run --separate-stderr "$SIDELIFT" context --docker-host "unix://$at/silent.sock"
	took=$((($(date +%s%N) - begin) / 1000000))
	kill $silent
	[ "$status" = 1 ]
	[[ "$output" = *"does not answer"* ]]
	[[ "$output" = *"cluster  kind/ctx"* ]]
	[ $took -lt 3000 ] # two, and what a busy machine adds
}
