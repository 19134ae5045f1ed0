#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What is installed: the package, and plugins of docker and kubectl, whose own options
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

@test "make install puts everything below DESTDIR and PREFIX" {
	for file in bin/sidelift libexec/sidelift/sidelift-helper share/man/man1/sidelift.1 share/bash-completion/completions/sidelift \
		share/zsh/site-functions/_sidelift share/fish/vendor_completions.d/sidelift.fish; do
		[ -f "$BATS_FILE_TMPDIR/usr/$file" ]
	done
	# alone in its container
	run ldd "$BATS_FILE_TMPDIR/usr/libexec/sidelift/sidelift-helper"
	[[ "$output" == *"not a dynamic executable"* ]]
}

@test "make deb makes a package that apt would install, and that runs" {
	run --separate-stderr make -C "$ROOT" --no-print-directory deb
	[ "$status" = 0 ]
	package=$ROOT/$output
	[ -f "$package" ]
	run apt-get install -s "$package"
	[ "$status" = 0 ]
	[[ "$output" == *"Inst sidelift (0.1.0 "* ]]
	dpkg-deb -x "$package" "$BATS_TEST_TMPDIR/root"
	[ "$("$BATS_TEST_TMPDIR/root/usr/bin/sidelift" --version)" = "$("$SIDELIFT" --version)" ]
	for library in $(objdump -p "$SIDELIFT" | awk '$1 == "NEEDED" { print $2 }'); do
		owner=$(dpkg -S "$(readlink -f "$(ldconfig -p | awk -v l="$library" '$1 == l { print $NF; exit }')")" 2>/dev/null | cut -d: -f1) || continue
		[[ "$(dpkg-deb -f "$package" Depends)" == *"$owner (>= "* ]]
	done
}

@test "the commands in the examples for other tools are commands" {
	mapfile -t found < <(python3 - "$ROOT" <<-'P'
	import glob, re, sys, xml.etree.ElementTree as tree
	for path in glob.glob(sys.argv[1] + "/examples/jetbrains/.run/*.xml"):
	    print(next(o.get("value") for o in tree.parse(path).iter("option") if o.get("name") == "SCRIPT_TEXT"))
	for path in ("skaffold/skaffold.yaml", "tilt/Tiltfile"):
	    for line in open(sys.argv[1] + "/examples/" + path):
	        if "docker build" in line:
	            print(re.sub(r"^.*?(docker build.*?)[',]*$", r"\1", line.strip()))
	P
	)
	[ ${#found[@]} = 4 ]
	for line in "${found[@]}"; do
		run --separate-stderr env IMAGE=app:dev EXPECTED_REF=app:dev BUILD_CONTEXT=. sh -c "${line#*&& } --help"
		[ "$status" = 0 ]
		[[ "$output" == "Usage: sidelift "* ]]
	done
}
