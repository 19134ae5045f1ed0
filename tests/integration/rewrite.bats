#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# `sidelift rewrite` as its user sees it.  kubectl is the judge of what a
# manifest means: what it reads from the edited file must be what it reads from
# the original with every chosen policy set (manifests/expected.jq).

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return 1
	SIDELIFT=$(realpath "${SIDELIFT:-build/release/sidelift}")
	MANIFESTS=$(realpath tests/integration/manifests)
	cd "$BATS_TEST_TMPDIR" || return 1
	printf 'containers:\n- image: app:dev\n' > pod.yaml
	printf 'containers:\n- image: app:dev\n  imagePullPolicy: Never\n' > pod.never.yaml
	printf 'containers: [\n' > bad.yaml
}

# run with standard error in $stderr and the exact standard output in ./stdout
sidelift() {
	status=0
	"$SIDELIFT" "$@" > stdout 2> stderr || status=$?
	stdout=$(cat stdout)
	stderr=$(cat stderr)
}

is() { # VALUE EXPECTED
	[ "$1" = "$2" ] || { printf "got:\n%s\nnot:\n%s\n" "$1" "$2"; return 1; }
}

has() { # VALUE PART
	case $1 in *"$2"*) ;; *) printf "got:\n%s\nwithout: %s\n" "$1" "$2"; return 1 ;; esac
}

meaning() { # FILE
	kubectl label --local -f "$1" tests.sidelift/x=1 -o json
}

@test "every fixture means to kubectl what it should" {
	for file in "$MANIFESTS"/*.yaml "$MANIFESTS"/*.json; do
		edited=edited.${file##*.}
		sidelift rewrite --image app:dev "$file"
		is "$status" 0
		cp stdout "$edited"
		meaning "$file" | jq -S -f "$MANIFESTS/expected.jq" > expected.json
		meaning "$edited" | jq -S . > actual.json
		[ -s expected.json ]
		diff expected.json actual.json || { echo "$file"; return 1; }
	done
}

@test "a second run over every fixture changes nothing" {
	for file in "$MANIFESTS"/*.yaml "$MANIFESTS"/*.json; do
		sidelift rewrite --image app:dev "$file"
		cp stdout once
		sidelift rewrite --image app:dev once
		cmp once stdout || { echo "$file"; return 1; }
		sidelift rewrite --image app:dev --check once
		[ "$(grep -c would-change stdout)" = 0 ]
	done
}

@test "without the image every fixture stays as it is" {
	for file in "$MANIFESTS"/*.yaml "$MANIFESTS"/*.json; do
		sidelift rewrite --image another:dev "$file"
		cmp "$file" stdout
	done
}

@test "the diff of every fixture is what patch makes the result of" {
	for file in "$MANIFESTS"/*.yaml "$MANIFESTS"/*.json; do
		cp "$file" patched
		sidelift rewrite --image app:dev --diff patched
		is "$status" 0
		cp stdout the.diff
		sidelift rewrite --image app:dev "$file"
		patch -s --binary patched the.diff
		cmp patched stdout || { echo "$file"; return 1; }
	done
}

@test "the policy can be chosen" {
	for policy in Never IfNotPresent Always; do
		sidelift rewrite --image app:dev --policy $policy pod.yaml
		is "$status" 0
		has "$stdout" "  imagePullPolicy: $policy"
	done
}

@test "several images are chosen" {
	printf 'containers: [{image: a}, {image: b}, {image: c}]\n' > f.yaml
	sidelift rewrite --image a --image docker.io/library/c:latest f.yaml
	is "$stdout" "containers: [{imagePullPolicy: Never, image: a}, {image: b}, {imagePullPolicy: Never, image: c}]"
}

@test "it is a filter" {
	"$SIDELIFT" rewrite --image app:dev - < pod.yaml | cmp - pod.never.yaml
}

@test "several files to standard output stay separate documents" {
	printf '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}' > a.json
	printf -- '--- # b\napiVersion: v1\nkind: Pod\nmetadata: {name: b}' > b.yaml
	printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: c}\n' > c.yaml
	sidelift rewrite --image app:dev a.json b.yaml c.yaml
	is "$status" 0
	is "$(kubectl label --local -f stdout x=1 -o name)" "pod/a
pod/b
pod/c"
}

@test "in place a file is changed and no other byte is printed with -q" {
	sidelift rewrite --image app:dev --in-place -q pod.yaml
	is "$status" 0
	is "$stdout$stderr" ""
	cmp pod.yaml pod.never.yaml
}

@test "in place it says what was changed" {
	sidelift rewrite --image app:dev --in-place pod.yaml pod.never.yaml
	is "$stdout" "pod.yaml: imagePullPolicy is now Never in 1 of 1 containers"
}

@test "in place mode and symbolic link stay" {
	chmod 640 pod.yaml
	ln -s pod.yaml link.yaml
	sidelift rewrite --image app:dev --in-place link.yaml
	is "$status" 0
	[ -L link.yaml ]
	is "$(stat -c %a pod.yaml)" 640
	cmp pod.yaml pod.never.yaml
	is "$(ls)" "bad.yaml
link.yaml
pod.never.yaml
pod.yaml
stderr
stdout"
}

@test "in place a file that does not change is not written" {
	touch -d 2001-01-01 pod.never.yaml
	before=$(stat -c '%i %Y' pod.never.yaml)
	sidelift rewrite --image app:dev --in-place pod.never.yaml
	is "$status" 0
	is "$(stat -c '%i %Y' pod.never.yaml)" "$before"
}

@test "a bad file does not keep --in-place from the good ones" {
	cp bad.yaml worse.yaml
	sidelift rewrite --image app:dev --in-place bad.yaml pod.yaml worse.yaml missing.yaml
	is "$status" 1
	has "$stderr" "bad.yaml:2:1: "
	has "$stderr" "worse.yaml:2:1: "
	has "$stderr" "missing.yaml: No such file"
	cmp pod.yaml pod.never.yaml
}

@test "a bad file keeps everything from standard output" {
	sidelift rewrite --image app:dev pod.yaml bad.yaml
	is "$status" 1
	is "$stdout" ""
	has "$stderr" "bad.yaml:2:1: "
}

@test "one bad document refuses the whole file" {
	printf 'containers:\n- image: app:dev\n---\na: b: c\n' > f.yaml
	sidelift rewrite --image app:dev f.yaml
	is "$status" 1
	is "$stdout" ""
	has "$stderr" "f.yaml:4:5: "
	cp f.yaml g.yaml
	sidelift rewrite --image app:dev --in-place g.yaml
	is "$status" 1
	cmp f.yaml g.yaml
}

@test "what is no UTF-8 text is refused with its place" {
	printf 'a: 1\nb: \0\n' > nul.yaml
	printf 'a: 1\nb: \377\n' > latin.yaml
	printf '\377\376a\0:\0' > utf16.yaml
	for file in nul latin utf16; do
		sidelift rewrite --image app:dev $file.yaml
		is "$status" 1
		is "$stdout" ""
	done
	sidelift rewrite --image app:dev nul.yaml latin.yaml utf16.yaml
	has "$stderr" "nul.yaml:2:4: a NUL byte"
	has "$stderr" "latin.yaml:2:4: "
	has "$stderr" "utf16.yaml:1:1: UTF-16"
}

@test "standard input is named in errors" {
	status=0
	"$SIDELIFT" rewrite --image app:dev - < bad.yaml 2> stderr || status=$?
	is "$status" 1
	has "$(cat stderr)" "standard input:2:1: "
}

@test "a template is refused, as by kubectl" {
	printf 'apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - image: {{ .Values.x }}\n' > f.yaml
	sidelift rewrite --image app:dev f.yaml
	is "$status" 1
	has "$stderr" "f.yaml:5:13: "
	has "$stderr" "helm template"
	! meaning f.yaml 2> /dev/null
}

@test "an anchor that others share refuses the file" {
	printf 'containers:\n- &c {image: app:dev}\n- <<: *c\n  image: nginx\n' > f.yaml
	sidelift rewrite --image app:dev f.yaml
	is "$status" 1
	is "$stdout" ""
	has "$stderr" "f.yaml:3:3: "
}

@test "bombs and nesting are refused within a second" {
	{
		echo 'a0: &a0 [x, x]'
		for i in $(seq 60); do echo "a$i: &a$i [*a$((i - 1)), *a$((i - 1))]"; done
	} > bomb.yaml
	printf '%01000000d' 0 | tr 0 '[' > deep.yaml
	for file in bomb.yaml deep.yaml; do
		status=0
		timeout 1 "$SIDELIFT" rewrite --image app:dev $file 2> stderr || status=$?
		is "$status" 1
		has "$(cat stderr)" "the maximum is"
	done
}

@test "duplicate policies are all set, with a warning" {
	printf 'containers:\n- image: app:dev\n  imagePullPolicy: Always\n  imagePullPolicy: Always\n' > f.yaml
	sidelift rewrite --image app:dev f.yaml
	is "$status" 0
	is "$(grep -c Never stdout)" 2
	has "$stderr" "f.yaml:3:3: 'imagePullPolicy' is there 2 times"
	sidelift rewrite --image app:dev -q f.yaml
	is "$stderr" ""
}

@test "--check answers with its exit code" {
	cp pod.yaml before
	sidelift rewrite --image app:dev --check pod.yaml pod.never.yaml
	is "$status" 4
	is "$stdout" "pod.yaml:2:10: 'app:dev' is local, and its imagePullPolicy is IfNotPresent by default; sidelift rewrite makes it Never [would-change]"
	cmp pod.yaml before
	sidelift rewrite --image app:dev --check pod.never.yaml
	is "$status" 0
	is "$stdout" ""
	sidelift rewrite --image app:dev --check bad.yaml pod.yaml
	is "$status" 1
}

@test "pull secrets that nothing needs are named, and go where that is asked for" {
	printf 'imagePullSecrets:\n- name: hub\n' | cat - pod.never.yaml > secrets.yaml
	sidelift rewrite --image app:dev secrets.yaml
	is "$status" 0
	cmp stdout secrets.yaml
	is "$stderr" "sidelift: warning: secrets.yaml:1:1: imagePullSecrets is needless here, as no image of this pod is pulled; --drop-pull-secrets removes it"
	sidelift rewrite --image app:dev --drop-pull-secrets secrets.yaml
	cmp stdout pod.never.yaml
	is "$stderr" ""
	sidelift rewrite --image app:dev --drop-pull-secrets --in-place secrets.yaml
	is "$stdout" "secrets.yaml: imagePullSecrets removed from 1 pod"
	cmp secrets.yaml pod.never.yaml
}

@test "--diff prints a diff and exits 0" {
	sidelift rewrite --image app:dev --diff pod.yaml pod.never.yaml
	is "$status" 0
	is "$stdout" "--- pod.yaml
+++ pod.yaml
@@ -1,2 +1,3 @@
 containers:
 - image: app:dev
+  imagePullPolicy: Never"
}

@test "what makes no sense is a usage error" {
	for args in "--in-place -" "--in-place --diff pod.yaml" "--in-place --check pod.yaml" "--diff --check pod.yaml" \
		"--policy Sometimes pod.yaml" "--policy never pod.yaml" "- -" "" "--nonsense pod.yaml"; do
		sidelift rewrite --image app:dev $args
		is "$status" 2
		is "$stdout" ""
		[ -n "$stderr" ]
	done
	cmp pod.yaml <(printf 'containers:\n- image: app:dev\n')
}

@test "an --image that is no reference is a usage error" {
	for image in 'Upper/Case:v1:x' 'App' 'app:' ':dev' 'a//b' '' 'https://app' \
		0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef; do
		sidelift rewrite --image "$image" pod.yaml
		is "$status" 2
		has "$stderr" "image name"
	done
}

@test "a directory is its manifests, a pattern what it matches, a URL is refused" {
	mkdir d d/below
	cp pod.yaml d/a.yaml
	cp pod.yaml d/b.yml
	cp bad.yaml d/notes.txt
	cp bad.yaml d/below/c.yaml
	sidelift rewrite --image app:dev --in-place d
	is "$status" 0
	is "$(cat stdout)" "d/a.yaml: imagePullPolicy is now Never in 1 of 1 containers
d/b.yml: imagePullPolicy is now Never in 1 of 1 containers"
	cmp d/b.yml pod.never.yaml
	sidelift rewrite --image app:dev 'd/*.y*ml'
	is "$status" 0
	is "$(grep -c -- --- stdout)" 2
	sidelift rewrite --image app:dev 'd/*.json'
	is "$status" 1
	has "$stderr" "no file matches 'd/*.json'"
	rm d/a.yaml d/b.yml
	sidelift rewrite --image app:dev d
	is "$status" 1
	has "$stderr" "d: no .yaml, .yml or .json is in this directory"
	sidelift rewrite --image app:dev https://example.org/app.yaml
	is "$status" 2
	has "$stderr" "https://example.org/app.yaml: manifests are not fetched; save it to a file"
	is "$stdout" ""
}

@test "-k is what kubectl makes of a kustomization" {
	mkdir k
	printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: app:dev}]}\n' > k/pod.yaml
	printf 'resources: [pod.yaml]\nnamePrefix: my-\n' > k/kustomization.yaml
	sidelift rewrite --image app:dev -k k
	is "$status" 0
	is "$stdout" "$(kubectl kustomize k | sed 's/^  - image: app:dev$/&\n    imagePullPolicy: Never/')"
	has "$stdout" "name: my-p"
	for args in "-k k pod.yaml" "-k k --in-place" "-k https://example.org/k"; do
		sidelift rewrite --image app:dev $args
		is "$status" 2
	done
	sidelift rewrite --image app:dev -k d
	is "$status" 1
	has "$stderr" "kubectl kustomize:"
}

@test "a full disk behind standard output is an error" {
	[ -c /dev/full ] || skip "no /dev/full"
	status=0
	"$SIDELIFT" rewrite --image app:dev pod.yaml > /dev/full 2> stderr || status=$?
	is "$status" 1
	has "$(cat stderr)" "standard output"
}

@test "without --image and without a cluster nothing is changed" {
	cp pod.yaml before
	export KUBECONFIG=$PWD/none DOCKER_HOST=unix://$PWD/none.sock
	sidelift rewrite --in-place pod.yaml
	is "$status" 1
	has "$stderr" "no --image, and which images were side-loaded is not known"
	cmp pod.yaml before
}

@test "an empty file is no manifest and no error" {
	: > empty.yaml
	sidelift rewrite --image app:dev empty.yaml
	is "$status" 0
	is "$stdout" ""
}
