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
