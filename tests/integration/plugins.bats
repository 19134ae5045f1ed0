#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# docker and kubectl run the installed sidelift as their plugin, and their own options
# keep their meaning.

load helpers/common

setup_file() {
	make -C "$ROOT" --no-print-directory install DESTDIR="$BATS_FILE_TMPDIR" PREFIX=/usr >/dev/null
	mkdir -p "$BATS_FILE_TMPDIR/docker/cli-plugins"
	ln -s "$BATS_FILE_TMPDIR/usr/lib/docker/cli-plugins/docker-sidelift" "$BATS_FILE_TMPDIR/docker/cli-plugins/docker-sidelift"
}

setup() {
	PATH=$BATS_FILE_TMPDIR/usr/bin:$PATH
	export DOCKER_CONFIG=$BATS_FILE_TMPDIR/docker
	export KUBECONFIG=$BATS_TEST_TMPDIR/none
}

@test "docker lists it, and runs it" {
	[[ "$(docker info -f '{{range .ClientInfo.Plugins}}{{.Name}} {{.ShortDescription}}{{end}}')" = *"sidelift Put images into the nodes"* ]]
	run docker sidelift --version
	[ "$status" = 0 ]
	[[ "$output" = "sidelift "* ]]
}

@test "docker's --host is the engine, before the plugin's name" {
	run docker --host unix:///nowhere.sock sidelift load app
	[ "$status" = 1 ]
	[[ "$output" = *"no engine answers at unix:///nowhere.sock"* ]]
}

@test "docker's --context is a docker context" {
	run docker --context absent sidelift load app
	[ "$status" = 1 ]
	[[ "$output" = *"absent"* ]]
}

@test "kubectl runs it, and its --context is a kube context" {
	printf 'apiVersion: v1\nkind: Config\ncontexts: []\n' >"$KUBECONFIG"
	run kubectl sidelift --context=absent rewrite "$ROOT/examples/demo/app.yaml"
	[ "$status" = 1 ]
	[[ "$output" = *"the kubeconfig has no context 'absent'"* ]]
}
