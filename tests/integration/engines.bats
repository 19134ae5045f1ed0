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
