#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# rewrite --check against a real cluster: what its nodes hold, and where the scheduler
# would put a pod.

load ../integration/helpers/common

setup_file() {
	KUBECONFIG=$("$ROOT/tests/bed/up.sh" check bookworm sid 2>/dev/null)
	export KUBECONFIG
	kubectl taint nodes check-control-plane node-role.kubernetes.io/control-plane:NoSchedule --overwrite >/dev/null
	kubectl label nodes check-worker disk=ssd --overwrite >/dev/null
	new_image check-both:dev 10
	new_image check-plane:dev 10
	new_image check-worker:dev 10
	"$SIDELIFT" load -q check-both:dev
	"$SIDELIFT" load -q --node check-control-plane check-plane:dev
	"$SIDELIFT" load -q --node check-worker check-worker:dev
}

teardown_file() {
	"$ROOT/tests/bed/down.sh" check
	docker rmi -f check-both:dev check-plane:dev check-worker:dev check-engine:dev >/dev/null 2>&1 || true
}

setup() { cd "$BATS_TEST_TMPDIR" || return 1; }

# pod IMAGE POLICY [FIELD]: with nothing else to complain of
pod() {
	cat <<-Y
	apiVersion: v1
	kind: Pod
	metadata: {name: p}
	spec:
	  automountServiceAccountToken: false
	  ${3:-restartPolicy: Always}
	  containers:
	  - name: c
	    image: $1
	    imagePullPolicy: $2
	    resources: {limits: {memory: 10Mi}}
	    readinessProbe: {exec: {command: [/x]}}
	Y
}

check() { run --separate-stderr "$SIDELIFT" rewrite --check "$@"; }

finds() { # MESSAGE: that and nothing else, exit 4
	[ "$status" = 4 ]
	[ "$output" = "$1" ] || { printf 'not: %s\n' "$1"; return 1; }
	[ -z "$stderr" ]
}

@test "what is everywhere, with the policy that it ought to have" {
	pod check-both:dev Never >p.yaml
	check p.yaml
	[ "$status" = 0 ]
	[ -z "$output$stderr" ]
	pod check-both:dev Always >p.yaml
	check p.yaml
	finds "p.yaml:10:22: 'check-both:dev' is local, and imagePullPolicy Always pulls it; sidelift rewrite makes it Never [would-change]"
}

@test "on some nodes only: told where the pod may go there, and not where it may not" {
	pod check-plane:dev Never >p.yaml
	check p.yaml
	finds "p.yaml:9:12: 'check-plane:dev' is not on 'check-worker', where the pod may go and then fails (ErrImageNeverPull); sidelift load check-plane:dev [only-some-nodes]"
	# the taint keeps it off the node that lacks it
	pod check-worker:dev Never >p.yaml
	check p.yaml
	[ "$status" = 0 ]
	pod check-worker:dev Never 'tolerations: [{operator: Exists}]' >p.yaml
	check p.yaml
	[ "$status" = 4 ]
	[[ "$output" = *"'check-worker:dev' is not on 'check-control-plane', where the pod may go"* ]]
	pod check-worker:dev Never '{nodeSelector: {disk: ssd}}' | sed 's/^  {nodeSelector: \(.*\)}$/  nodeSelector: \1\n  tolerations: [{operator: Exists}]/' >p.yaml
	check p.yaml
	[ "$status" = 0 ]
	pod check-plane:dev Never 'nodeName: check-control-plane' >p.yaml
	check p.yaml
	[ "$status" = 0 ]
}

@test "on no node" {
	pod check-engine:dev Never >p.yaml
	check p.yaml
	finds "p.yaml:9:12: no node has 'check-engine:dev', and imagePullPolicy Never fetches nothing (ErrImageNeverPull); build it, and sidelift load check-engine:dev [fails]"
	new_image check-engine:dev 10
	check p.yaml
	finds "p.yaml:9:12: no node has 'check-engine:dev', and imagePullPolicy Never fetches nothing (ErrImageNeverPull); sidelift load check-engine:dev [fails]"
	pod check-engine:dev IfNotPresent >p.yaml
	check p.yaml
	finds "p.yaml:9:12: no node has 'check-engine:dev'; the kubelet will pull it, unless you sidelift load check-engine:dev [absent]"
	pod registry.example/other:1 IfNotPresent >p.yaml
	check p.yaml
	finds "p.yaml:9:12: no node has 'registry.example/other:1'; the kubelet will pull it [absent]"
}

@test "a tag that two contents share" {
	local old new
	old=$(config_in_engine check-both:dev | cut -c8-19)
	new_image check-both:dev 10
	new=$(config_in_engine check-both:dev | cut -c8-19)
	pod check-both:dev Never >p.yaml
	check p.yaml
	finds "p.yaml:9:12: 'check-both:dev' stands for different contents: $old on 'check-control-plane', 'check-worker'; $new in the engine; sidelift load check-both:dev [ambiguous]"
	"$SIDELIFT" load -q --node check-worker check-both:dev
	check p.yaml
	finds "p.yaml:9:12: 'check-both:dev' stands for different contents: $old on 'check-control-plane'; $new on 'check-worker' and in the engine; sidelift load check-both:dev [ambiguous]"
	"$SIDELIFT" load -q check-both:dev
	check p.yaml
	[ "$status" = 0 ]
}

@test "as JSON, and what is unwise whatever the cluster has" {
	printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: c, image: nginx}\n' >p.yaml
	check -o json p.yaml
	[ "$status" = 4 ]
	[ "$(jq -r '.kind, .version' <<<"$output" | paste -sd' ')" = "CheckResult 1" ]
	[ "$(jq -r '.findings[] | "\(.file):\(.line):\(.column) \(.rule)"' <<<"$output" | paste -sd' ')" = \
		"p.yaml:5:3 token p.yaml:6:5 no-limits p.yaml:6:5 no-probe p.yaml:6:22 pulls-latest p.yaml:6:22 absent" ]
}

@test "an API server that does not answer: every node counts, and that is said" {
	pod check-worker:dev Never >p.yaml
	docker exec check-control-plane pkill -STOP kube-apiserver
	check --timeout 100s p.yaml
	docker exec check-control-plane pkill -CONT kube-apiserver
	[ "$status" = 4 ]
	[[ "$output" = *"'check-worker:dev' is not on 'check-control-plane', where the pod may go"* ]]
	[[ "$stderr" = *"kubectl get:"*"; a pod is taken to go to any node"* ]]
}

@test "the example's VS Code problem matcher finds what it says" {
	pod check-plane:dev Never >p.yaml
	check p.yaml
	jq -r '.tasks[] | select(.label == "sidelift check") | .problemMatcher.pattern.regexp' "$ROOT/examples/vscode/.vscode/tasks.json" >regexp
	run python3 -c 'import re, sys; print(*re.match(open("regexp").read().strip(), sys.argv[1]).groups()[:3])' "$output"
	[ "$output" = "p.yaml 9 12" ]
}
