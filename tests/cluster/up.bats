#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# sidelift up on real kubelets: from a source line to the new code running, and what
# it says when it does not run.

load ../integration/helpers/common

APP=up-test:dev

setup_file() {
	KUBECONFIG=$("$ROOT/tests/bed/up.sh" up bookworm sid 2>/dev/null)
	export KUBECONFIG
}

teardown_file() {
	"$ROOT/tests/bed/down.sh" up
	docker rmi -f "$APP" >/dev/null 2>&1 || true
}

setup() {
	DIR=$BATS_FILE_TMPDIR/app
	mkdir -p "$DIR"
	cd "$BATS_FILE_TMPDIR" || return 1
}

# source_line TEXT [EXIT]: what the program says before it waits, or ends
source_line() {
	cat >"$DIR/main.c" <<-'C'
	#include <signal.h>
	#include <stdio.h>
	#include <unistd.h>
	static void end(int n) { (void)n; _exit(0); }
	int main(void) { signal(SIGTERM, end); puts(TEXT); fflush(stdout); if (CODE) return CODE; for (;;) pause(); }
	C
	gcc -Os -static -DTEXT="\"$1\"" -DCODE="${2:-0}" -o "$DIR/app" "$DIR/main.c"
	printf 'FROM scratch\nCOPY app /app\nENTRYPOINT ["/app"]\n' >"$DIR/Dockerfile"
}

# manifest NAME [FIELD]: a Deployment; FIELD goes into its spec
manifest() {
	cat <<-Y
	apiVersion: apps/v1
	kind: Deployment
	metadata: {name: $1}
	spec:
	  ${2:-replicas: 2}
	  selector: {matchLabels: {app: $1}}
	  template:
	    metadata: {labels: {app: $1}}
	    spec:
	      terminationGracePeriodSeconds: 1
	      containers:
	      - {name: app, image: '$APP'}
	Y
}

up() { run --separate-stderr "$SIDELIFT" up --build "$APP=app" "$@"; }

# says NAME TEXT: all pods of the Deployment that are not on their way out, at once or
# as soon as the kubelet has read what they printed
says() {
	local pod got _
	for pod in $(kubectl get pods -l "app=$1" -o json | jq -r '.items[] | select(.metadata.deletionTimestamp == null) | .metadata.name'); do
		for _ in $(seq 50); do
			got=$(kubectl logs "$pod") || got=
			[ "$got" != "$2" ] || break
			sleep 0.1
		done
		[ "$got" = "$2" ] || { echo "$pod says '$got'"; return 1; }
	done
}

@test "the new code runs after each edit, under the same tag" {
	manifest web >web.yaml
	local edit before
	before=$(hash_of web.yaml)
	for edit in 1 2 3 4 5 6 7 8 9 10; do # bats' run uses i
		source_line "line $edit"
		up -f web.yaml
		[ "$status" = 0 ]
		[[ "$output" = *"Deployment 'web' ready: web-"*" on up-"* ]]
		[[ "$output" = *"build "*" s, load "*" s, apply "*" s, rollout "*" s"* ]]
		says web "line $edit"
	done
	[ "$(hash_of web.yaml)" = "$before" ]
	[ "$(kubectl get deployment web -o jsonpath='{.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].imagePullPolicy}')" = "$APP Never" ]
	[[ "$(kubectl get deployment web -o json | jq -r '.spec.template.metadata.annotations["sidelift.dev/images"]')" = "docker.io/library/$APP=$(config_in_engine "$APP")" ]]
}

@test "without a change nothing is done, and it says so" {
	local before
	before=$(kubectl get pods -l app=web -o name)
	up -f web.yaml
	[ "$status" = 0 ]
	[[ "$output" = *"deployment.apps/web unchanged"* ]]
	[[ "$output" = *"nothing to do"* ]]
	[ "$(kubectl get pods -l app=web -o name)" = "$before" ]
}

@test "-o json tells what was done, and that nothing changed" {
	up -f web.yaml -o json
	[ "$status" = 0 ]
	jq -e '.kind == "UpResult" and .changed == false and (.workloads[0].pods | length) == 2 and .seconds.rollout >= 0' <<<"$output"
}

@test "--dry-run builds and loads nothing, and has the server say what would change" {
	local before
	before=$(config_in_engine "$APP")
	source_line "not yet"
	manifest web 'replicas: 1' >one.yaml
	up -f one.yaml --dry-run
	[ "$status" = 0 ]
	[[ "$output" = *"$APP would be built"* ]]
	[[ "$output" = *"deployment.apps/web configured (server dry run)"* ]]
	[ "$(config_in_engine "$APP")" = "$before" ]
	[ "$(kubectl get deployment web -o jsonpath='{.spec.replicas}')" = 2 ]
}

@test "progress: each step with its time, and what the rollout waits for; as JSON; none with -q" {
	source_line "progress"
	manifest told >told.yaml
	up -f told.yaml
	[ "$status" = 0 ]
	[[ "$stderr" =~ (^|$'\n')build\ [0-9.]+\ s$'\n'.*load\ [0-9.]+\ s$'\n'apply\ [0-9.]+\ s$'\n'"Deployment 'told': ".*" updated".*$'\n'rollout\ [0-9.]+\ s ]]
	run --separate-stderr "$SIDELIFT" up --progress json -f told.yaml
	[ "$(grep -v '"node"' <<<"$stderr" | jq -r 'select(.seconds >= 0) | .step' | paste -sd' ')" = "read load apply rollout" ]
	run --separate-stderr "$SIDELIFT" up -q -f told.yaml
	[ "$status" = 0 ]
	[ -z "$output$stderr" ]
	kubectl delete deployment told >/dev/null
}

@test "a program that ends again and again: its last words, not a timeout" {
	source_line "cannot open the flux file" 7
	manifest crash 'replicas: 1' >crash.yaml
	up -f crash.yaml
	[ "$status" = 1 ]
	[[ "$stderr" = *"CrashLoopBackOff"* ]]
	[[ "$stderr" = *"ended with exit code 7"* ]]
	[[ "$stderr" = *"app says: cannot open the flux file"* ]]
	kubectl delete deployment crash >/dev/null
}

@test "a pod that nobody can place: the scheduler's words, when --wait is over" {
	source_line "fits"
	manifest big 'replicas: 1' | sed 's/- {name: app,/- {name: app, resources: {requests: {memory: 900Ti}},/' >big.yaml
	up -f big.yaml --wait 4s
	[ "$status" = 1 ]
	[[ "$stderr" = *"Deployment 'big' is not ready 4 s after it was applied"* ]]
	[[ "$stderr" = *"Insufficient memory"* ]]
	kubectl delete deployment big >/dev/null
}

@test "an image that neither side has is left to the cluster, which says what it lacks" {
	manifest none 'replicas: 1' | sed "s/image: '$APP'/image: 'up-nowhere:dev', imagePullPolicy: Never/" >none.yaml
	run --separate-stderr "$SIDELIFT" up -f none.yaml
	[ "$status" = 1 ]
	[[ "$stderr" = *"ErrImageNeverPull (the node does not have the image"* ]]
	kubectl delete deployment none >/dev/null
}

@test "a build that fails ends it: nothing is applied" {
	printf 'FROM scratch\nCOPY absent /x\n' >"$DIR/Dockerfile"
	manifest never >never.yaml
	up -f never.yaml
	[ "$status" = 1 ]
	[[ "$stderr" = *"building '$APP' failed"*"nothing was loaded or applied"* ]]
	run kubectl get deployment never
	[ "$status" = 1 ]
}

@test "--build-command builds by a command; what it leaves unbuilt is an error" {
	run --separate-stderr "$SIDELIFT" up -f web.yaml --build-command up-unbuilt:dev=true
	[ "$status" = 1 ]
	[[ "$stderr" = *"'up-unbuilt:dev' was built, but the engine at"* ]]
	source_line "by make"
	run --separate-stderr "$SIDELIFT" up -f web.yaml --build-command "$APP=docker build -q -t $APP app"
	[ "$status" = 0 ]
	says web "by make"
}

@test "a bare Pod and a Job are replaced only with --replace" {
	printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: bare}\nspec: {terminationGracePeriodSeconds: 1, containers: [{name: app, image: "%s"}]}\n' "$APP" >pod.yaml
	printf 'apiVersion: batch/v1\nkind: Job\nmetadata: {name: once}\nspec: {template: {spec: {terminationGracePeriodSeconds: 1, restartPolicy: Never, containers: [{name: app, image: "%s"}]}}}\n' "$APP" >job.yaml
	source_line first
	up -f pod.yaml -f job.yaml
	[ "$status" = 0 ]
	source_line second
	up -f pod.yaml -f job.yaml
	[ "$status" = 1 ]
	[[ "$stderr" = *"the image of Pod 'bare', Job 'once' changed"*"--replace"* ]]
	[ "$(kubectl logs bare)" = first ]
	up -f pod.yaml -f job.yaml --replace
	[ "$status" = 0 ]
	for _ in $(seq 50); do [ "$(kubectl logs bare)$(kubectl logs job/once)" != secondsecond ] || break; sleep 0.1; done
	[ "$(kubectl logs bare)" = second ]
	[ "$(kubectl logs job/once)" = second ]
	kubectl delete -f pod.yaml -f job.yaml --wait=false >/dev/null
}

@test "a paused Deployment is applied and not waited for" {
	source_line "paused one"
	manifest held '{replicas: 1, paused: true}' | sed 's/^  {replicas: 1, paused: true}/  replicas: 1\n  paused: true/' >held.yaml
	up -f held.yaml
	[ "$status" = 0 ]
	[[ "$output" = *"Deployment 'held': it is paused; its pods change after kubectl rollout resume"* ]]
	kubectl delete deployment held >/dev/null
}

@test "a ReplicaSet and a ReplicationController: new ones are waited for, of others it is said who changes the pods" {
	source_line "kept one"
	manifest set | sed 's/kind: Deployment/kind: ReplicaSet/' >kept.yaml
	cat >>kept.yaml <<-Y
	---
	apiVersion: v1
	kind: ReplicationController
	metadata: {name: old}
	spec:
	  replicas: 1
	  selector: {app: old}
	  template:
	    metadata: {labels: {app: old}}
	    spec:
	      terminationGracePeriodSeconds: 1
	      containers:
	      - {name: app, image: '$APP'}
	Y
	up -f kept.yaml
	[ "$status" = 0 ]
	[[ "$output" = *"ReplicaSet 'set' ready: "*"ReplicationController 'old' ready: "* ]]
	says set "kept one"
	says old "kept one"
	up -f kept.yaml
	[ "$status" = 0 ]
	[[ "$output" = *"nothing to do"* ]]
	source_line "kept two"
	up -f kept.yaml
	[ "$status" = 0 ]
	[[ "$output" = *"ReplicaSet 'set': it does not replace its pods; each changes when you delete it"* ]]
	[[ "$output" = *"ReplicationController 'old': it does not replace its pods"* ]]
	says set "kept one"
	kubectl delete pods --wait=true -l app=old >/dev/null
	up -f kept.yaml
	[ "$status" = 0 ]
	[[ "$output" = *"ReplicaSet 'set': it does not replace its pods"* ]]
	[[ "$output" = *"ReplicationController 'old' ready: "* ]]
	says old "kept two"
	kubectl delete replicaset/set replicationcontroller/old >/dev/null
}

@test "a directory, a pattern and a kustomization; server-side" {
	mkdir -p many
	source_line "from many"
	manifest many1 'replicas: 1' >many/a.yaml
	manifest many2 'replicas: 1' | "$SIDELIFT" rewrite --image none - | kubectl create --dry-run=client -o json -f - >many/b.json
	echo "not a manifest" >many/README
	up -f many --server-side
	[ "$status" = 0 ]
	says many1 "from many"
	says many2 "from many"
	up -f 'many/*.json'
	[ "$status" = 0 ]
	[[ "$output" = *many2* && "$output" != *many1* ]]
	printf 'resources: [a.yaml]\nnamePrefix: k-\n' >many/kustomization.yaml
	up -k many
	[ "$status" = 0 ]
	[[ "$output" = *"deployment.apps/k-many1 created"* ]]
	kubectl delete deployment many1 many2 k-many1 >/dev/null
}

@test "load -f loads what the manifests name; --restart has one workload run it, and no other" {
	manifest other >other.yaml
	source_line "before"
	up -f web.yaml -f other.yaml
	[ "$status" = 0 ]
	local others
	others=$(kubectl get pods -l app=other -o name)
	source_line "after"
	build_image "$APP" app
	run --separate-stderr "$SIDELIFT" load -f web.yaml --restart deployment/web
	[ "$status" = 0 ]
	[[ "$output" = *"docker.io/library/$APP "*"Deployment 'web' ready: web-"* ]]
	says web after
	[ "$(kubectl get pods -l app=other -o name)" = "$others" ]
	kubectl delete deployment other >/dev/null
}

@test "load --restart of what is not there fails after the load, and says so" {
	run --separate-stderr "$SIDELIFT" load "$APP" --restart deployment/absent
	[ "$status" = 1 ]
	[[ "$stderr" = *"kubectl rollout:"*'deployments.apps "absent" not found'* ]]
}

@test "the example's VS Code problem matcher finds file, line and column of what up says" {
	mkdir -p matched/k8s
	printf 'a: [1\n' >matched/k8s/bad.yaml
	cd matched || return 1
	run --separate-stderr "$SIDELIFT" up -f k8s
	[ "$status" = 1 ]
	jq -r '.tasks[0].problemMatcher.pattern.regexp' "$ROOT/examples/vscode/.vscode/tasks.json" >regexp
	run python3 -c 'import re, sys; print(*re.match(open("regexp").read().strip(), sys.argv[1]).groups()[:2])' "$stderr"
	[ "$status" = 0 ]
	[ "$output" = "k8s/bad.yaml 2" ]
}

@test "make up, with the example's sidelift.mk" {
	mkdir -p made/k8s
	source_line "made"
	cp -r app made/src
	manifest web >made/k8s/web.yaml
	printf 'IMAGE := %s\nCONTEXT := src\ninclude %s\n' "$APP" "$ROOT/examples/make/sidelift.mk" >made/Makefile
	run make -C made up SIDELIFT="$SIDELIFT" UPFLAGS=-q
	[ "$status" = 0 ]
	says web "made"
	printf 'a: [1\n' >made/k8s/bad.yaml
	run make -C made up SIDELIFT="$SIDELIFT"
	[ "$status" = 2 ]
}

@test "Ctrl-C during the build stops it and all it started" {
	manifest web >web.yaml
	"$SIDELIFT" up -f web.yaml --build-command "$APP=sleep 4711 & sleep 4712" >/dev/null 2>&1 3>&- &
	local pid=$! _
	for _ in $(seq 50); do pgrep -fx 'sleep 4712' >/dev/null && break; sleep 0.1; done
	kill -INT "$pid"
	local code=0
	wait "$pid" || code=$?
	[ "$code" = 130 ]
	run pgrep -fx 'sleep 471[12]'
	[ "$status" = 1 ]
}

@test "nothing was pulled, ever" {
	run kubectl get events -A -o jsonpath='{range .items[*]}{.reason}{"\n"}{end}'
	[ "$status" = 0 ]
	[[ "$output" = *Started* ]]
	[[ "$output" != *Pulling* ]]
}
