#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What sidelift up refuses before it touches anything.

load helpers/common

refuses() { # CODE TEXT ARGUMENT...
	run --separate-stderr "$SIDELIFT" up "${@:3}"
	[ "$status" = "$1" ]
	[[ "$stderr" = *"$2"* ]]
	[ -z "$output" ]
}

@test "without a manifest it is a usage error" {
	refuses 2 "no manifest; name one: sidelift up -f PATH"
}

@test "a word that is no option is a usage error" {
	refuses 2 "'app.yaml' is not an option; manifests are named by -f" -f x app.yaml
}

@test "options for the build need one build" {
	refuses 2 "what stands behind -- goes to the build" -f x -- --no-cache
}

@test "--policy is one that a local image can have" {
	refuses 2 "--policy is Never or IfNotPresent, not 'Always'" -f x --policy Always
}

@test "--build is IMAGE=DIRECTORY" {
	refuses 2 "--build is IMAGE=DIRECTORY, not 'app'" -f x --build app
}

@test "load -f: a URL, a Dockerfile and broken YAML each get their sentence" {
	run --separate-stderr "$SIDELIFT" load -f https://example.com/app.yaml
	[ "$status" = 2 ]
	[[ "$stderr" = *"manifests are not fetched; save it to a file"* ]]
	printf '# syntax=docker/dockerfile:1\nARG A=1\nFROM scratch\n' >"$BATS_TEST_TMPDIR/Dockerfile"
	run --separate-stderr "$SIDELIFT" load -f "$BATS_TEST_TMPDIR/Dockerfile"
	[ "$status" = 2 ]
	[[ "$stderr" = *"is a Dockerfile, not a manifest"*"--build IMAGE=DIRECTORY"* ]]
	printf 'a: [1\n' >"$BATS_TEST_TMPDIR/bad.yaml"
	run --separate-stderr "$SIDELIFT" load -f "$BATS_TEST_TMPDIR/bad.yaml"
	[ "$status" = 1 ]
	[[ "$stderr" = *"bad.yaml:"[0-9]*:[0-9]*": "* ]]
	run --separate-stderr "$SIDELIFT" load -f "$BATS_TEST_TMPDIR/*.yml"
	[ "$status" = 1 ]
	[[ "$stderr" = *"no file matches"* ]]
}

@test "load -f and image names exclude each other" {
	run --separate-stderr "$SIDELIFT" load -f x app
	[ "$status" = 2 ]
	[[ "$stderr" = *"-f loads what the manifests name; image names do not go with it"* ]]
}
