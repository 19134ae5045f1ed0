#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Which engine is the active one.  The docker CLI itself, run in the same
# environment, is the judge: both are led to sockets where nobody listens, and say
# which.

load helpers/common

setup() {
	export HOME=$BATS_TEST_TMPDIR/home DOCKER_CONFIG=''
	unset DOCKER_HOST DOCKER_CONTEXT DOCKER_CONFIG DOCKER_TLS_VERIFY DOCKER_TLS DOCKER_CERT_PATH KUBECONFIG
	mkdir -p "$HOME/.docker"
}

# context DIR NAME HOST
context() {
	local id
	id=$(printf %s "$2" | sha256sum | cut -d' ' -f1)
	mkdir -p "$1/contexts/meta/$id"
	printf '{"Name":"%s","Metadata":{},"Endpoints":{"docker":{"Host":"%s","SkipTLSVerify":false}}}' "$2" "$3" >"$1/contexts/meta/$id/meta.json"
}

# agree HOST [ENV=VALUE|--option VALUE]...: docker and sidelift both go there
agree() {
	local host=$1 env=() ours=() theirs=()
	shift
	while [ $# -gt 0 ]; do
		case $1 in
		--host) ours+=(--docker-host "$2") theirs+=(--host "$2"); shift ;;
		--context) ours+=(--docker-context "$2") theirs+=(--context "$2"); shift ;;
		*) env+=("$1") ;;
		esac
		shift
	done
	run env "${env[@]}" docker "${theirs[@]}" images
	[[ "$output" = *"$host"* ]] || { echo "docker says: $output"; return 1; }
	run env "${env[@]}" "$SIDELIFT" "${ours[@]}" load app:dev
	[ "$status" = 1 ] && [[ "$output" = *"no engine answers at $host "* ]] || { echo "sidelift says: $output"; return 1; }
}

@test "DOCKER_HOST" { agree unix:///a/host.sock DOCKER_HOST=unix:///a/host.sock; }

@test "an empty DOCKER_HOST counts as none" {
	context "$HOME/.docker" mine unix:///a/mine.sock
	agree unix:///a/mine.sock DOCKER_HOST= DOCKER_CONTEXT=mine
}

@test "--host beats DOCKER_HOST" { agree unix:///a/option.sock DOCKER_HOST=unix:///a/host.sock --host unix:///a/option.sock; }

@test "--context beats DOCKER_HOST" {
	context "$HOME/.docker" mine unix:///a/mine.sock
	agree unix:///a/mine.sock DOCKER_HOST=unix:///a/host.sock --context mine
}

@test "DOCKER_HOST beats DOCKER_CONTEXT" {
	context "$HOME/.docker" mine unix:///a/mine.sock
	agree unix:///a/host.sock DOCKER_HOST=unix:///a/host.sock DOCKER_CONTEXT=mine
}

@test "DOCKER_CONTEXT beats currentContext" {
	context "$HOME/.docker" mine unix:///a/mine.sock
	context "$HOME/.docker" other unix:///a/other.sock
	echo '{"currentContext":"other"}' >"$HOME/.docker/config.json"
	agree unix:///a/mine.sock DOCKER_CONTEXT=mine
}

@test "currentContext" {
	context "$HOME/.docker" other unix:///a/other.sock
	echo '{"currentContext":"other"}' >"$HOME/.docker/config.json"
	agree unix:///a/other.sock
}

@test "DOCKER_HOST beats currentContext" {
	context "$HOME/.docker" other unix:///a/other.sock
	echo '{"currentContext":"other"}' >"$HOME/.docker/config.json"
	agree unix:///a/host.sock DOCKER_HOST=unix:///a/host.sock
}

@test "DOCKER_CONFIG moves configuration and contexts" {
	mkdir "$HOME/elsewhere"
	context "$HOME/elsewhere" far unix:///a/far.sock
	echo '{"currentContext":"far"}' >"$HOME/elsewhere/config.json"
	agree unix:///a/far.sock DOCKER_CONFIG="$HOME/elsewhere"
}

@test "a tcp address, as docker writes it" { agree tcp://127.0.0.1:1 DOCKER_HOST=tcp://127.0.0.1:1; }

@test "a context that does not exist is an error, and named with its origin" {
	echo '{"currentContext":"gone"}' >"$HOME/.docker/config.json"
	run docker images
	[ "$status" != 0 ]
	run "$SIDELIFT" load app:dev
	[ "$status" = 1 ]
	[[ "$output" = *"docker context 'gone' (the current one) does not exist"* ]]
	run env DOCKER_CONTEXT=absent "$SIDELIFT" load app:dev
	[[ "$output" = *"docker context 'absent' (DOCKER_CONTEXT) does not exist"* ]]
	run "$SIDELIFT" --docker-context ../../../etc load app:dev
	[ "$status" = 1 ]
	[[ "$output" = *"does not exist"* ]]
}

@test "broken files are named" {
	echo '{"currentContext":' >"$HOME/.docker/config.json"
	run "$SIDELIFT" load app:dev
	[ "$status" = 1 ]
	[[ "$output" = *"$HOME/.docker/config.json is not valid JSON"* ]]
	context "$HOME/.docker" mine unix:///a/mine.sock
	echo 'no json' >"$(echo "$HOME"/.docker/contexts/meta/*/meta.json)"
	run "$SIDELIFT" --docker-context mine load app:dev
	[ "$status" = 1 ]
	[[ "$output" = *"meta.json is not valid JSON"* ]]
	printf '{"Name":"mine","Endpoints":{}}' >"$(echo "$HOME"/.docker/contexts/meta/*/meta.json)"
	run "$SIDELIFT" --docker-context mine load app:dev
	[[ "$output" = *"has no docker endpoint"* ]]
}

@test "a context and a host at once, and addresses that cannot be reached, are usage errors" {
	run "$SIDELIFT" --docker-host unix:///a --docker-context b load app:dev
	[ "$status" = 2 ]
	run env DOCKER_HOST=npipe:////./pipe/docker_engine "$SIDELIFT" load app:dev
	[ "$status" = 2 ]
	[[ "$output" = *"is a Windows pipe; run sidelift in WSL2"* ]]
	run env DOCKER_HOST=unix:// "$SIDELIFT" load app:dev
	[ "$status" = 2 ]
}

@test "a real engine behind TLS with client certificates: exec, export, everything" {
	dir=$BATS_TEST_TMPDIR/tls
	mkdir "$dir"
	cd "$dir" || return 1
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca-key.pem -out ca.pem -days 2 -subj /CN=ca 2>/dev/null
	for who in server client; do
		openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $who-key.pem -out $who.csr -subj /CN=$who 2>/dev/null
		openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -out $who.pem -extfile <(echo subjectAltName=IP:127.0.0.1) 2>/dev/null
	done
	cp client.pem cert.pem
	cp client-key.pem key.pem
	socat OPENSSL-LISTEN:23760,bind=127.0.0.1,reuseaddr,fork,cert=server.pem,key=server-key.pem,cafile=ca.pem,verify=1 UNIX-CONNECT:/var/run/docker.sock 3>&- &
	proxy=$!
	sleep 0.5
	KUBECONFIG=$("$ROOT/tests/bed/nodes-only.sh" engines bookworm 2>/dev/null)
	export KUBECONFIG
	new_image engines-tls:dev
	run --separate-stderr env DOCKER_HOST=tcp://127.0.0.1:23760 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH="$dir" "$SIDELIFT" load --exporter save engines-tls:dev
	got=$status
	[ "$(config_on_node engines-control-plane docker.io/library/engines-tls:dev)" = "$(config_in_engine engines-tls:dev)" ] || got=9
	# the same by a context with TLS material
	context "$HOME/.docker" secure tcp://127.0.0.1:23760
	mkdir -p "$HOME/.docker/contexts/tls/$(printf secure | sha256sum | cut -d' ' -f1)/docker"
	cp ca.pem cert.pem key.pem "$HOME/.docker/contexts/tls/$(printf secure | sha256sum | cut -d' ' -f1)/docker/"
	run --separate-stderr "$SIDELIFT" --docker-context secure load engines-tls:dev
	again=$status said=$output
	# with a foreign CA, and without the client's certificate
	cp ca.pem ours.pem
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null -out ca.pem -days 2 -subj /CN=other 2>/dev/null
	run --separate-stderr env DOCKER_HOST=tcp://127.0.0.1:23760 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH="$dir" "$SIDELIFT" load engines-tls:dev
	foreign=$status foreign_why=$stderr
	mv ours.pem ca.pem
	rm cert.pem key.pem
	run --separate-stderr env DOCKER_HOST=tcp://127.0.0.1:23760 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH="$dir" "$SIDELIFT" load engines-tls:dev
	without=$status why=$stderr
	kill $proxy
	"$ROOT/tests/bed/down.sh" engines
	docker rmi -f engines-tls:dev >/dev/null
	[ "$got" = 0 ]
	[ "$again" = 0 ]
	[[ "$said" = *"present already"* ]]
	[ "$without" = 1 ]
	[[ "$why" = *"TLS with the engine at tcp://127.0.0.1:23760 fails"*"cert.pem: none"* ]]
	[ "$foreign" = 1 ]
	[[ "$foreign_why" = *"TLS with the engine at tcp://127.0.0.1:23760 fails"* ]]
}

@test "DOCKER_CONTEXT=default is the default socket, whatever is current" {
	context "$HOME/.docker" other unix:///a/other.sock
	echo '{"currentContext":"other"}' >"$HOME/.docker/config.json"
	run --separate-stderr env DOCKER_CONTEXT=default "$SIDELIFT" context -o json
	[ "$(jq -r .engine.url <<<"$output")" = unix:///var/run/docker.sock ]
	run env DOCKER_CONTEXT=default docker version -f '{{.Server.Version}}'
	[ "$status" = 0 ]
}

@test "a context without a host is the default socket" {
	context "$HOME/.docker" bare ""
	run --separate-stderr "$SIDELIFT" --docker-context bare context -o json
	[ "$(jq -r .engine.url <<<"$output")" = unix:///var/run/docker.sock ]
}

@test "DOCKER_TLS_VERIFY makes a tcp address TLS; DOCKER_CERT_PATH alone does not" {
	socat TCP-LISTEN:23761,bind=127.0.0.1,reuseaddr,fork UNIX-CONNECT:/var/run/docker.sock 3>&- &
	proxy=$!
	sleep 0.3
	run env DOCKER_HOST=tcp://127.0.0.1:23761 DOCKER_CERT_PATH=/nowhere docker version -f '{{.Server.Version}}'
	theirs=$status
	run --separate-stderr env DOCKER_HOST=tcp://127.0.0.1:23761 DOCKER_CERT_PATH=/nowhere "$SIDELIFT" context -o json
	[ "$(jq -r .engine.version <<<"$output")" != null ] && plain=0 || plain=1
	run --separate-stderr env DOCKER_HOST=tcp://127.0.0.1:23761 DOCKER_TLS_VERIFY=1 "$SIDELIFT" context -o json
	secured=$(jq -r .engine.error <<<"$output")
	kill $proxy
	[ "$theirs" = 0 ]
	[ "$plain" = 0 ]
	[[ "$secured" = *"TLS with the engine at tcp://127.0.0.1:23761 fails"* ]]
}

@test "DOCKER_TLS_VERIFY does nothing to a context's address" {
	context "$HOME/.docker" mine unix:///var/run/docker.sock
	run --separate-stderr env DOCKER_TLS_VERIFY=1 DOCKER_CONTEXT=mine "$SIDELIFT" context -o json
	[ "$(jq -r .engine.version <<<"$output")" != null ]
}

@test "DOCKER_API_VERSION is used as it is, and refused where the engine does not speak it" {
	run --separate-stderr env DOCKER_API_VERSION=1.30 "$SIDELIFT" context -o json
	[ "$(jq -r .engine.api <<<"$output")" = 1.30 ]
	[ "$(DOCKER_API_VERSION=1.30 docker version -f '{{.Client.APIVersion}}')" = 1.30 ]
	for version in 1.99 nonsense 1.41x; do
		run --separate-stderr env DOCKER_API_VERSION=$version "$SIDELIFT" load app:dev
		[ "$status" = 1 ]
		[[ "$stderr" = *"DOCKER_API_VERSION is '$version', which the engine at unix:///var/run/docker.sock does not speak"* ]]
	done
	run docker version
	run env DOCKER_API_VERSION=1.99 docker images
	[ "$status" != 0 ]
}

# without_docker COMMAND...: where nothing is below /run
without_docker() { unshare -m bash -c 'mount -t tmpfs none /run && mkdir -p "$HOME/xdg" && exec "$@"' x "$@"; }

# relayed PATH: the real engine answers there as well
relayed() { mkdir -p "$(dirname "$1")"; socat "UNIX-LISTEN:$1,fork,unlink-early" UNIX-CONNECT:/var/run/docker.sock 3>&- & relays+=($!); sleep 0.2; }

@test "no docker socket: rootless docker, Docker Desktop, colima, Rancher Desktop, OrbStack, podman, the first that answers" {
	relays=()
	export XDG_RUNTIME_DIR=$HOME/xdg
	mkdir -p "$XDG_RUNTIME_DIR"
	run --separate-stderr without_docker "$SIDELIFT" load app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"no engine answers at unix:///var/run/docker.sock"* ]]
	said=
	# from the last in the order to the first: each goes before those that are there already
	for where in "$XDG_RUNTIME_DIR/podman/podman.sock" "$HOME/.orbstack/run/docker.sock" "$HOME/.rd/docker.sock" "$HOME/.colima/default/docker.sock" \
		"$HOME/.docker/desktop/docker.sock" "$HOME/.docker/run/docker.sock" "$XDG_RUNTIME_DIR/docker.sock"; do
		relayed "$where"
		run --separate-stderr without_docker "$SIDELIFT" context -o json
		[ "$(jq -r .engine.url <<<"$output")" = "unix://$where" ] || said+=" $where:$(jq -c .engine <<<"$output")"
	done
	# a socket that nobody listens at is passed over
	kill "${relays[@]}"
	wait "${relays[@]}" 2>/dev/null || true
	run --separate-stderr without_docker "$SIDELIFT" context -o json
	[ -z "$said" ] || { echo "$said"; return 1; }
	[[ "$(jq -r .engine.error <<<"$output")" = *"no engine answers at unix:///var/run/docker.sock"* ]]
}

# ---- ssh ----

# ssh_host: a real sshd on 127.0.0.1:2298 with a key of its own, known to `by_ssh`
ssh_host() {
	S=$BATS_TEST_TMPDIR/ssh
	mkdir -p "$S/dot"
	ssh-keygen -q -t ed25519 -N '' -f "$S/key"
	ssh-keygen -q -t ed25519 -N '' -f "$S/host"
	cp "$S/key.pub" "$S/authorized"
	printf 'Port 2298\nListenAddress 127.0.0.1\nHostKey %s/host\nAuthorizedKeysFile %s/authorized\nPidFile %s/pid\nStrictModes no\nUsePAM no\n' "$S" "$S" "$S" >"$S/sshd_config"
	printf 'Host bedlab\n HostName 127.0.0.1\n Port 2298\n User root\n IdentityFile %s/key\n' "$S" >"$S/dot/config"
	printf '[127.0.0.1]:2298 %s\n' "$(cut -d' ' -f1,2 "$S/host.pub")" >"$S/dot/known_hosts"
	chmod 700 "$S/dot"
	mkdir -p /run/sshd
	/usr/sbin/sshd -f "$S/sshd_config" 3>&-
}

# by_ssh COMMAND...: with $S/dot as root's ~/.ssh, which is where ssh looks, whatever HOME says
by_ssh() { mkdir -p /root/.ssh; unshare -m bash -c 'mount --bind "$0" /root/.ssh && exec "$@"' "$S/dot" "$@"; }

@test "an engine by ssh: its config, its agent, a port, a socket; and everything that can be wrong" {
	ssh_host
	KUBECONFIG=$("$ROOT/tests/bed/nodes-only.sh" engines bookworm 2>/dev/null)
	export KUBECONFIG
	new_image engines-ssh:dev
	wrong=
	# by a name of ssh's own configuration: nodes and images both through it
	run --separate-stderr by_ssh env DOCKER_HOST=ssh://bedlab "$SIDELIFT" load -o json engines-ssh:dev
	[ "$status" = 0 ] && [ "$(jq -r '.nodes[0].outcome' <<<"$output")" = loaded ] || wrong+=" name:$stderr"
	[ "$(config_on_node engines-control-plane docker.io/library/engines-ssh:dev)" = "$(config_in_engine engines-ssh:dev)" ] || wrong+=" content"
	# by user and port, the key from an agent, and docker as the judge
	eval "$(ssh-agent)" >/dev/null
	ssh-add -q "$S/key" 2>/dev/null
	run by_ssh env DOCKER_HOST=ssh://root@127.0.0.1:2298 docker version -f '{{.Server.Version}}'
	[ "$status" = 0 ] || wrong+=" docker:$output"
	run --separate-stderr by_ssh env DOCKER_HOST=ssh://root@127.0.0.1:2298 "$SIDELIFT" load engines-ssh:dev
	[ "$status" = 0 ] || wrong+=" agent:$stderr"
	run --separate-stderr by_ssh "$SIDELIFT" load --docker-host ssh://root@127.0.0.1:2298/var/run/docker.sock engines-ssh:dev
	[ "$status" = 0 ] || wrong+=" socket:$stderr"
	kill "$SSH_AGENT_PID"
	unset SSH_AUTH_SOCK SSH_AGENT_PID
	# no key
	run --separate-stderr by_ssh env DOCKER_HOST=ssh://root@127.0.0.1:2298 "$SIDELIFT" load engines-ssh:dev
	[ "$status" = 1 ] && [[ "$stderr" = *"no engine answers at ssh://root@127.0.0.1:2298 ("*"Permission denied"* ]] || wrong+=" nokey:$stderr"
	# no engine there
	run --separate-stderr by_ssh env DOCKER_HOST=ssh://bedlab/nowhere.sock "$SIDELIFT" load engines-ssh:dev
	[ "$status" = 1 ] && [[ "$stderr" = *"no engine answers at ssh://bedlab/nowhere.sock"*"nowhere.sock"* ]] || wrong+=" nosocket:$stderr"
	# another host key than the one that is known
	printf '[127.0.0.1]:2298 %s\n' "$(cut -d' ' -f1,2 "$S/key.pub")" >"$S/dot/known_hosts"
	run --separate-stderr by_ssh env DOCKER_HOST=ssh://bedlab "$SIDELIFT" load engines-ssh:dev
	[ "$status" = 1 ] && [[ "$stderr" = *"the host's key is new or another one than in known_hosts"*"ssh-keygen -R HOST"* ]] || wrong+=" hostkey:$stderr"
	kill "$(cat "$S/pid")"
	# nobody there
	run --separate-stderr env DOCKER_HOST=ssh://root@127.0.0.1:2298 "$SIDELIFT" load engines-ssh:dev
	[ "$status" = 1 ] && [[ "$stderr" = *"Connection refused"* ]] || wrong+=" nobody:$stderr"
	"$ROOT/tests/bed/down.sh" engines
	docker rmi -f engines-ssh:dev >/dev/null
	[ -z "$(pgrep -f 'dial-stdio' || true)" ] || wrong+=" processes are left"
	[ -z "$wrong" ] || { echo "$wrong"; return 1; }
}

@test "ssh addresses that docker does not take either are usage errors" {
	for url in ssh://u:secret@h ssh:// 'ssh://h?x=1' 'ssh://h#f' ssh://h:port 'ssh://h/a b'; do
		run --separate-stderr env DOCKER_HOST="$url" "$SIDELIFT" load app:dev
		[ "$status" = 2 ] || { echo "$url: $status $stderr"; return 1; }
		[[ "$stderr" = *"engine address '"*"it should look like ssh://user@host"* ]]
	done
}
