#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# `sidelift rewrite` over the manifests that other projects have in their Go modules
# (corpus.list), and over other spellings of each: JSON, JSON objects in a row, CRLF,
# anchors, merges, braces.  helpers/rewriting.py says who judges what.

load helpers/common

python=/usr/bin/python3 # Debian's, which has python3-yaml

setup_file() {
	. "$ROOT/tests/bed/lib.sh"
	"$python" "$ROOT/tests/integration/helpers/corpus.py" fetch
	export OUT=$BATS_FILE_TMPDIR/out
	mkdir "$OUT"
	"$python" "$ROOT/tests/integration/helpers/rewriting.py" "$SIDELIFT" "$OUT" >"$OUT/wrong"
}

# wrong CHECK: what it found, of which there must be nothing
wrong() {
	grep "^$1	" "$OUT/wrong" | cut -c1-500 || true
}

count() { jq "$1" "$OUT/counts.json"; }

@test "at least 300 manifests were compared, and variants of most" {
	count .
	[ "$(count .compared)" -ge 300 ]
	[ "$(count .compared)" -ge "$(($(grep -c ' manifest ' "$ROOT/tests/integration/corpus.list") - 5))" ]
	[ "$(count .changed)" -ge 700 ]
	[ "$(count .replaced)" -ge 100 ]
	for variant in indented minified crlf flow; do
		[ "$(count ".variants.$variant")" -ge 500 ]
	done
	[ "$(count .variants.aliased)" -ge 300 ]
	[ "$(count .variants.merged)" -ge 10 ]
}

@test "every kind and way of writing is among them" {
	local missing=''
	for feature in core/Pod core/PodTemplate core/ReplicationController apps/{Deployment,ReplicaSet,StatefulSet,DaemonSet} batch/{Job,CronJob} List \
		argoproj.io/{Rollout,Experiment,Workflow,WorkflowTemplate} apps.kruise.io/{CloneSet,StatefulSet,DaemonSet,SidecarSet} \
		leaderworkerset.x-k8s.io/LeaderWorkerSet serving.knative.dev/Service containers initContainers ephemeralContainers \
		documents JSON "JSON in a row"; do
		[ "$(count ".features[\"$feature\"] // 0")" -ge 1 ] || missing+=" '$feature'"
	done
	echo "missing:$missing"
	[ -z "$missing" ]
}

@test "each has the number of edits that it must have" {
	[ -z "$(wrong edits | tee /dev/stderr)" ]
}

@test "nothing but policies is put in or replaced, byte by byte" {
	[ -z "$(wrong bytes | tee /dev/stderr)" ]
}

@test "to kubectl each means what it meant, but for the policies of the chosen containers" {
	[ -z "$(wrong kubectl | tee /dev/stderr)" ]
	[ -z "$(wrong variants | tee /dev/stderr)" ]
}

@test "a second run changes nothing" {
	[ -z "$(wrong again | tee /dev/stderr)" ]
}

@test "what cannot be changed alone is refused with its place" {
	[ -z "$(wrong refusal | tee /dev/stderr)" ]
	[ "$(count .refused)" -ge 1 ]
}

@test "templates are refused with their place, as by kubectl" {
	[ -z "$(wrong template | tee /dev/stderr)" ]
	[ "$(count .templates)" -ge 40 ]
}

@test "8 MB/s or more are rewritten, both parses included" {
	run "$python" "$ROOT/tests/bench/rewrite.py" "$SIDELIFT" 8
	echo "$output"
	[ "$status" = 0 ]
	[[ "$output" = *"corpus "*"a long ConfigMap "* ]]
}

@test "nothing else was wrong" {
	[ ! -s "$OUT/wrong" ]
}
