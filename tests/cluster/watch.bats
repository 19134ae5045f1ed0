#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# sidelift up --watch on real kubelets: what makes a round, what does not, what ends one,
# and what is left when it ends.

load ../integration/helpers/common

APP=watch-test:dev

setup_file() {
	KUBECONFIG=$("$ROOT/tests/bed/up.sh" watch bookworm sid 2>/dev/null)
	export KUBECONFIG
	# says what is in /text, and ends with N if that is "exit N"
	cat >"$BATS_FILE_TMPDIR/main.c" <<-'C'
	#include <signal.h>
	#include <stdio.h>
	#include <unistd.h>
	static void end(int n) { (void)n; _exit(0); }
	int main(void) {
		char text[100] = ""; int code = 0;
		FILE *file = fopen("/text", "r");
		signal(SIGTERM, end);
		if (!file || !fgets(text, sizeof(text), file)) return 9;
		printf("%s", text); fflush(stdout);
		if (sscanf(text, "exit %d", &code) == 1) return code;
		for (;;) pause();
	}
	C
	gcc -Os -static -o "$BATS_FILE_TMPDIR/program" "$BATS_FILE_TMPDIR/main.c"
}

teardown_file() {
	"$ROOT/tests/bed/down.sh" watch
	docker rmi -f "$APP" watch-other:dev >/dev/null 2>&1 || true
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	NAME=w$BATS_TEST_NUMBER PID=''
	mkdir src
	cp "$BATS_FILE_TMPDIR/program" src/program
	printf 'FROM scratch\nCOPY . /\nENTRYPOINT ["/program"]\n' >src/Dockerfile
	echo "$NAME one" >src/text
	manifest >app.yaml
}

teardown() {
	[ -z "$PID" ] || { kill -KILL "$PID" 2>/dev/null; wait "$PID" 2>/dev/null; } || true
	[ -n "${BATS_TEST_COMPLETED:-}" ] || { cat out; tail -60 err; }
	kubectl delete --ignore-not-found --wait=false deployment,statefulset -l "test=$NAME" >/dev/null 2>&1 || true
}

# manifest [KIND [FIELD]]: FIELD goes into its spec
manifest() {
	cat <<-Y
	apiVersion: apps/v1
	kind: ${1:-Deployment}
	metadata: {name: $NAME, labels: {test: $NAME}}
	spec:
	  ${2:-replicas: 1}
	  selector: {matchLabels: {app: $NAME}}
	  template:
	    metadata: {labels: {app: $NAME}}
	    spec:
	      terminationGracePeriodSeconds: 1
	      containers:
	      - {name: app, image: '$APP'}
	Y
}

# watch ARGUMENT...: out is its standard output
watch() {
	: >out
	"$SIDELIFT" up --watch "$@" >out 2>err 3>&- &
	PID=$!
}

watch_app() { watch -f app.yaml --build "$APP=src" "$@"; }

# Within a minute it has printed N lines.
rounds() {
	local _
	for _ in $(seq 600); do
		[ "$(wc -l <out)" -lt "$1" ] || return 0
		kill -0 "$PID" || return 1
		sleep 0.1
	done
	echo "no round $1 in a minute"
	return 1
}

# And no more than that, two seconds later.
only_rounds() {
	rounds "$1"
	sleep 2
	[ "$(wc -l <out)" = "$1" ]
}

line() { sed -n "$1p" out; }

# Within 20 s a pod of the workload says TEXT.
says() {
	local _
	for _ in $(seq 200); do
		! kubectl logs -l "app=$NAME" --tail=1 2>/dev/null | grep -qxF "$1" || return 0
		sleep 0.1
	done
	kubectl get pods -l "app=$NAME"
	return 1
}

# begun N: within a minute round N has begun
begun() {
	local _
	for _ in $(seq 600); do
		! grep -q "^round $1 begins" err || return 0
		sleep 0.1
	done
	return 1
}

# ends SIGNAL CODE: within a second
ends() {
	local code=0 before after
	before=$(date +%s%N)
	kill "-$1" "$PID"
	wait "$PID" || code=$?
	after=$(date +%s%N)
	PID=''
	echo "exit code $code after $(((after - before) / 1000000)) ms"
	[ "$code" = "$2" ]
	[ $(((after - before) / 1000000)) -lt 1000 ]
}

@test "an edit becomes running code, and a line with what it took" {
	watch_app
	rounds 1
	[[ "$(line 1)" =~ ^"round 1: the first: build "[0-9.]+" s, export "[0-9.]+" s, import "[0-9.]+" s, kubelet "[0-9.]+" s; total "[0-9.]+" s"$ ]]
	says "$NAME one"
	echo "$NAME two" >src/text
	rounds 2
	[[ "$(line 2)" =~ ^"round 2: $APP changed (text): build "[0-9.]+" s, export "[0-9.]+" s, import "[0-9.]+" s, kubelet "[0-9.]+" s; total "[0-9.]+" s"$ ]]
	says "$NAME two"
	only_rounds 2
	grep -q "^round 2 begins: $APP changed (text)$" err
	ends INT 130
	grep -q 'sidelift: interrupted; the cluster stays as it is' err
	[ "$(kubectl get deployment "$NAME" -o jsonpath='{.status.readyReplicas}')" = 1 ]
}

@test "SIGTERM ends it with 143" {
	watch_app
	rounds 1
	ends TERM 143
}

@test "files saved by rename, by vim, and with backups beside them are one round each" {
	watch_app
	rounds 1
	echo "$NAME two" >src/.text.tmp && mv src/.text.tmp src/text
	rounds 2
	[[ "$(line 2)" = *"$APP changed (text): build"* ]]
	says "$NAME two"
	vim -es -u NONE -c 'set backup writebackup backupdir=. backupskip= swapfile' -c "1s/.*/$NAME three/" -c 'wq' src/text
	rounds 3
	says "$NAME three"
	[ -e src/text~ ]
	: >src/.text.swp
	: >src/text~
	only_rounds 3
}

@test "a burst of 2,000 files is one round, also a git checkout" {
	local i
	mkdir src/many
	for i in $(seq 2000); do echo "$i" >"src/many/f$i"; done
	git -C src init -q
	git -C src -c user.name=x -c user.email=x@y add -A
	git -C src -c user.name=x -c user.email=x@y commit -qm one
	git -C src checkout -q -b other
	for i in $(seq 2000); do echo "other $i" >"src/many/f$i"; done
	echo "$NAME other" >src/text
	git -C src -c user.name=x -c user.email=x@y commit -qam two
	watch_app
	rounds 1
	says "$NAME other"
	git -C src checkout -q -
	rounds 2
	[[ "$(line 2)" = *"$APP changed ("*", 2000 more): build"* ]]
	says "$NAME one"
	only_rounds 2
}

@test "what .dockerignore leaves out makes no round, until .dockerignore says otherwise" {
	printf 'node_modules\n*.log\n!keep.log\n' >src/.dockerignore
	mkdir -p src/node_modules/deep src/.git
	watch_app -v
	rounds 1
	grep -q ' 2 directories are watched' err # src, and the one of app.yaml
	echo x >src/node_modules/deep/x
	echo x >src/a.log
	echo x >src/.git/index
	only_rounds 1
	echo x >src/keep.log
	rounds 2
	[[ "$(line 2)" = *"(keep.log)"* ]]
	printf '*.log\n' >src/.dockerignore
	rounds 3
	[[ "$(line 3)" = *"(.dockerignore)"* ]]
	echo y >src/node_modules/deep/x
	rounds 4
	[[ "$(line 4)" = *"(node_modules/deep/x)"* ]]
	echo y >src/keep.log
	only_rounds 4
}

@test "an edit of the manifest is applied, without a build" {
	watch_app
	rounds 1
	manifest Deployment 'replicas: 2' >app.yaml
	rounds 2
	[[ "$(line 2)" = "round 2: manifests changed (app.yaml): build 0.00 s, "* ]]
	[ "$(kubectl get deployment "$NAME" -o jsonpath='{.spec.replicas}')" = 2 ]
	printf 'a: [1\n' >app.yaml
	rounds 3
	[[ "$(line 3)" = *"(app.yaml): failed after "* ]]
	grep -q '^sidelift: app.yaml:2:' err
	manifest Deployment 'replicas: 1' >app.yaml
	rounds 4
	[ "$(kubectl get deployment "$NAME" -o jsonpath='{.spec.replicas}')" = 1 ]
}

@test "manifests of a directory, a pattern, a kustomization and its base" {
	mkdir -p dir base overlay/prod
	manifest >dir/app.yaml
	watch -f dir -f 'dir*/*.yml'
	rounds 1
	echo "not one" >dir/README
	manifest Deployment 'replicas: 2' | sed "s/name: $NAME,/name: $NAME-b,/; s/app: $NAME}/app: $NAME-b}/g" >dir/b.yml
	rounds 2
	[[ "$(line 2)" = *"manifests changed (dir/b.yml)"* ]]
	kubectl get deployment "$NAME-b"
	ends INT 130
	manifest >base/app.yaml
	printf 'resources: [app.yaml]\n' >base/kustomization.yaml
	printf 'resources: [../../base]\nnamePrefix: k-\n' >overlay/prod/kustomization.yaml
	watch -k overlay/prod
	rounds 1
	kubectl get deployment "k-$NAME"
	sed -i 's/replicas: 1/replicas: 2/' base/app.yaml
	rounds 2
	[ "$(kubectl get deployment "k-$NAME" -o jsonpath='{.spec.replicas}')" = 2 ]
	sed -i 's/k-/kk-/' overlay/prod/kustomization.yaml
	rounds 3
	kubectl get deployment "kk-$NAME"
}

@test "a build that fails, and a program that ends, are told; the next edit mends them" {
	watch_app
	rounds 1
	printf 'FROM scratch\nCOPY absent /\n' >src/Dockerfile
	rounds 2
	[[ "$(line 2)" = *"(Dockerfile): failed after "* ]]
	grep -q "^sidelift: building '$APP' failed" err
	printf 'FROM scratch\nCOPY . /\nENTRYPOINT ["/program"]\n' >src/Dockerfile
	rounds 3
	echo "exit 7" >src/text
	rounds 4
	[[ "$(line 4)" = *"(text): failed after "* ]]
	grep -q 'app says: exit 7' err
	grep -q "^sidelift: Deployment '$NAME': pod '.*CrashLoopBackOff" err
	echo "$NAME mended" >src/text
	rounds 5
	[[ "$(line 5)" = *"kubelet"* ]]
	says "$NAME mended"
}

@test "a StatefulSet that does not run is mended by the next edit as well" {
	manifest StatefulSet >app.yaml
	watch_app
	rounds 1
	echo "exit 7" >src/text
	rounds 2
	[[ "$(line 2)" = *"failed after"* ]]
	echo "$NAME mended" >src/text
	rounds 3
	says "$NAME mended"
}

@test "an edit during a build stops it with all it started, and one during the rollout ends the waiting" {
	printf '#!/bin/sh\n[ "$(cat src/text)" != slow ] || { sleep 8641 & sleep 8642; }\nexec docker build -q -t %s src\n' "$APP" >build.sh
	chmod +x build.sh
	watch -f app.yaml --build-command "$APP=./build.sh"
	rounds 1
	echo slow >src/text
	local _
	for _ in $(seq 100); do ! pgrep -fx 'sleep 8642' >/dev/null || break; sleep 0.1; done
	pgrep -fx 'sleep 8641'
	echo "$NAME two" >src/text
	rounds 3
	[[ "$(line 2)" = "round 2: $APP changed (src/text): superseded during the build, after "* ]]
	run pgrep -fx 'sleep 864[12]'
	[ "$status" = 1 ]
	says "$NAME two"
	# nobody has that much, so it waits
	sed -i "s/- {name: app,/- {name: app, resources: {requests: {memory: 900Ti}},/" app.yaml
	begun 4
	sleep 3
	manifest >app.yaml
	rounds 5
	[[ "$(line 4)" = "round 4: manifests changed (app.yaml): superseded during the rollout, after "* ]]
	[[ "$(line 5)" = *"kubelet"* ]]
}

@test "a command that writes where it is watched does not start itself for ever" {
	printf '#!/bin/sh\nmkdir -p made && cp src/program made/program && cp src/text made/text && date +%%s%%N >made/stamp && echo "run" >>runs\ncp src/Dockerfile made/ && exec docker build -q -t %s made\n' "$APP" >build.sh
	chmod +x build.sh
	watch -f app.yaml --build-command "$APP=./build.sh"
	rounds 1
	sleep 4
	[ "$(wc -l <runs)" -le 2 ]
	local before after
	before=$(wc -l <out)
	echo "$NAME two" >src/text
	says "$NAME two"
	sleep 6
	after=$(wc -l <out)
	[ "$((after - before))" -le 2 ]
	[ "$(wc -l <runs)" -le 5 ]
	before=$(wc -l <runs)
	sleep 3
	[ "$(wc -l <runs)" = "$before" ]
	says "$NAME two"
}

@test "what a command makes anew each time costs no round at all" {
	printf '#!/bin/sh\nmkdir -p made && cp src/* made/ && date +%%N >stamp && exec docker build -q -t %s made\n' "$APP" >build.sh
	chmod +x build.sh
	watch -f app.yaml --build-command "$APP=./build.sh"
	only_rounds 1
	echo "$NAME two" >src/text
	only_rounds 2
	says "$NAME two"
	echo "$NAME three" >src/text
	only_rounds 3
	says "$NAME three"
	ends INT 130
}

@test "a process that a command leaves behind does not start it for ever by writing the same" {
	printf '#!/bin/sh\n(sleep 1; echo late >late) >/dev/null 2>&1 &\nexec docker build -q -t %s src\n' "$APP" >build.sh
	chmod +x build.sh
	watch -f app.yaml --build-command "$APP=./build.sh"
	rounds 1
	sleep 6
	[ "$(wc -l <out)" -le 2 ]
	ends INT 130
}

@test "another current context, of kubectl or docker, changes nothing" {
	cp "$KUBECONFIG" kubeconfig
	mkdir docker-config
	export DOCKER_CONFIG=$PWD/docker-config
	KUBECONFIG=$PWD/kubeconfig watch_app
	rounds 1
	kubectl --kubeconfig kubeconfig config set-cluster else --server=https://127.0.0.1:1 >/dev/null
	kubectl --kubeconfig kubeconfig config set-context else --cluster=else >/dev/null
	kubectl --kubeconfig kubeconfig config use-context else >/dev/null
	docker context create nowhere --docker host=tcp://127.0.0.1:1 >/dev/null
	docker context use nowhere >/dev/null
	echo "$NAME two" >src/text
	rounds 2
	[[ "$(line 2)" = *kubelet* ]]
	says "$NAME two"
	# the same name for another cluster is refused
	kubectl --kubeconfig kubeconfig config set-cluster "$(kubectl config view -o jsonpath='{.clusters[0].name}')" --server=https://127.0.0.1:1 >/dev/null
	echo "$NAME three" >src/text
	rounds 3
	[[ "$(line 3)" = *"failed after"* ]]
	grep -q "means another cluster than when --watch began" err
	says "$NAME two"
}

@test "a node that is away fails the round; the next one has it again" {
	watch_app
	rounds 1
	docker stop -t 1 watch-worker >/dev/null
	echo "$NAME two" >src/text
	rounds 2
	docker start watch-worker >/dev/null
	[[ "$(line 2)" = *"failed after"* ]]
	grep -q "^sidelift: node 'watch-worker'" err
	local n
	for n in $(seq 3 20); do
		echo "$NAME back $n" >src/text
		rounds "$n"
		[[ "$(line "$n")" = *"failed after"* ]] || break
		sleep 1
	done
	says "$NAME back $n"
}

@test "an engine that is away for a moment fails the round; the next one has it again" {
	socat "UNIX-LISTEN:$PWD/engine.sock,fork" UNIX-CONNECT:/var/run/docker.sock 3>&- &
	local door=$! _
	for _ in $(seq 50); do [ ! -S engine.sock ] || break; sleep 0.1; done
	DOCKER_HOST=unix://$PWD/engine.sock watch_app
	rounds 1
	kill "$door"
	rm -f engine.sock
	echo "$NAME two" >src/text
	rounds 2
	[[ "$(line 2)" = *"(text): failed after"* ]]
	socat "UNIX-LISTEN:$PWD/engine.sock,fork" UNIX-CONNECT:/var/run/docker.sock 3>&- &
	door=$!
	for _ in $(seq 50); do [ ! -S engine.sock ] || break; sleep 0.1; done
	manifest Deployment 'replicas: 2' >app.yaml # what was not built is built by this one
	rounds 3
	kill "$door"
	[[ "$(line 3)" = *"kubelet"* ]]
	says "$NAME two"
}

@test "-o json is an object a round, on a line" {
	watch_app -o json
	rounds 1
	echo "$NAME two" >src/text
	rounds 2
	touch src/text
	rounds 3
	printf 'FROM scratch\nCOPY absent /\n' >src/Dockerfile
	rounds 4
	line 1 | jq -e '.version == 1 and .kind == "UpRound" and .round == 1 and .changed == [] and .outcome == "running"'
	line 2 | jq -e --arg app "$APP" '.changed == [{image: $app, paths: ["text"], more: 0}] and .outcome == "running" and .seconds.build > 0 and .seconds.kubelet > 0 and .seconds.total > .seconds.build and (.workloads[0].pods | length) == 1 and .images[0].name == "docker.io/library/" + $app'
	line 3 | jq -e '.outcome == "unchanged" and .seconds.import == 0'
	line 4 | jq -e '.outcome == "failed" and .error.exitCode == 1 and (.error.message | test("building"))'
}

@test "Ctrl-C stops a build with all it started" {
	watch -f app.yaml --build-command "$APP=sleep 8651 & sleep 8652"
	local _
	for _ in $(seq 50); do ! pgrep -fx 'sleep 8652' >/dev/null || break; sleep 0.1; done
	ends INT 130
	run pgrep -fx 'sleep 865[12]'
	[ "$status" = 1 ]
}

@test "Ctrl-C during the rollout leaves the cluster as it is, and no kubectl" {
	sed -i "s/- {name: app,/- {name: app, resources: {requests: {memory: 900Ti}},/" app.yaml
	watch_app
	local _
	for _ in $(seq 300); do ! pgrep -f "rollout status Deployment/$NAME" >/dev/null || break; sleep 0.1; done
	pgrep -f "rollout status Deployment/$NAME"
	ends INT 130
	kubectl get deployment "$NAME"
	run pgrep -f "rollout status Deployment/$NAME"
	[ "$status" = 1 ]
}

@test "fifty rounds leave neither memory nor descriptors behind" {
	local i fds rss
	build_image "$APP" src
	watch -q -f app.yaml --build-command "$APP=true"
	rounds 1
	for i in $(seq 2 6); do echo "$i" >src/text; rounds "$i"; done
	fds=$(ls "/proc/$PID/fd" | wc -l)
	rss=$(awk '/VmRSS/ { print $2 }' "/proc/$PID/status")
	for i in $(seq 7 56); do echo "$i" >src/text; rounds "$i"; done
	echo "descriptors $fds $(ls "/proc/$PID/fd" | wc -l), kB $rss $(awk '/VmRSS/ { print $2 }' "/proc/$PID/status")"
	[ "$(ls "/proc/$PID/fd" | wc -l)" = "$fds" ]
	[ "$(awk '/VmRSS/ { print $2 }' "/proc/$PID/status")" -lt $((rss + ${ASAN_SLACK:-2000})) ]
	! pgrep -P "$PID"
	ends INT 130
}

@test "make watch, with the example's sidelift.mk; VS Code's patterns find where a round begins and ends" {
	mkdir k8s
	mv app.yaml k8s/
	printf 'IMAGE := %s\nCONTEXT := src\ninclude %s\n' "$APP" "$ROOT/examples/make/sidelift.mk" >Makefile
	: >out
	setsid make watch SIDELIFT="$SIDELIFT" >out 2>err 3>&- &
	PID=$!
	for _ in $(seq 600); do # make prints lines of its own, more of them below another make
		! grep -q '^round 1: ' out || break
		sleep 0.1
	done
	says "$NAME one"
	kill -INT -- "-$PID"
	wait "$PID" || true
	PID=''
	jq -r '.tasks[1].problemMatcher.background | .beginsPattern, .endsPattern' "$ROOT/examples/vscode/.vscode/tasks.json" >patterns
	jq -e '.tasks[1].isBackground and (.tasks[1].command | test("--watch"))' "$ROOT/examples/vscode/.vscode/tasks.json"
	[ "$(grep -cE "$(sed -n 's/\\d/[0-9]/; 1p' patterns)" err)" = 1 ]
	[ "$(grep -cE "$(sed -n 's/\\d/[0-9]/; 2p' patterns)" out)" = 1 ]
}

@test "too few inotify watches: the limit, how many it needs, and how to raise it" {
	mkdir -p src/a/b/c/d
	run --separate-stderr unshare -Ur sh -c 'echo 3 >/proc/sys/user/max_inotify_watches && exec "$@"' sh "$SIDELIFT" up --watch -f app.yaml --build "$APP=src"
	[ "$status" = 1 ]
	[[ "$stderr" = *"src: it has 5 directories to watch"*"fs.inotify.max_user_watches is "*"sudo sysctl fs.inotify.max_user_watches=524288"*".dockerignore"* ]]
	run --separate-stderr unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"' sh "$SIDELIFT" up --watch -f app.yaml
	[ "$status" = 1 ]
	[[ "$stderr" = *"fs.inotify.max_user_instances is "* ]]
}

@test "a StatefulSet's partition: what it keeps is said" {
	manifest StatefulSet '{replicas: 3, updateStrategy: {rollingUpdate: {partition: 2}}}' | sed "s/^  {\(.*\)}\$/  replicas: 3\n  updateStrategy: {rollingUpdate: {partition: 2}}/" >app.yaml
	# pods of somebody else with the same labels are none of its
	manifest | sed "s/name: $NAME,/name: $NAME-other,/" | kubectl apply -f - >/dev/null
	run --separate-stderr "$SIDELIFT" up -f app.yaml --build "$APP=src"
	[ "$status" = 0 ]
	[[ "$output" = *"StatefulSet '$NAME' ready: $NAME-0 on "*", $NAME-2 on "* ]]
	[[ "$output" != *"$NAME-other"* ]]
	[[ "$output" != *partition* ]]
	echo "$NAME two" >src/text
	run --separate-stderr "$SIDELIFT" up -f app.yaml --build "$APP=src"
	[ "$status" = 0 ]
	[[ "$output" = *"StatefulSet '$NAME' ready: $NAME-2 on "*"; its partition, 2, keeps 2 of its 3 pods as they are"* ]]
	[ "$(kubectl logs "$NAME-0") $(kubectl logs "$NAME-2")" = "$NAME one $NAME two" ]
	sed -i 's/partition: 2/partition: 7/' app.yaml
	echo "$NAME three" >src/text
	run --separate-stderr "$SIDELIFT" up -f app.yaml --build "$APP=src" -o json
	[ "$status" = 0 ]
	jq -e '.workloads[0].outcome == "left" and (.workloads[0].note | test("its partition, 7, keeps 3 of its 3 pods as they are; none runs what was applied"))' <<<"$output"
}
