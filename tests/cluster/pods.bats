#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Real kubelets, on each containerd of the bed, run what was side-loaded a moment
# ago, and pull nothing.

load ../integration/helpers/common

NODES=(pods-control-plane pods-worker pods-worker2 pods-worker3)

setup_file() {
	KUBECONFIG=$("$ROOT/tests/bed/up.sh" pods bookworm trixie sid newest 2>/dev/null)
	export KUBECONFIG
}

teardown_file() {
	"$ROOT/tests/bed/down.sh" pods
	docker rmi -f pods-app:dev >/dev/null 2>&1 || true
}

# A pod on each node, its policy added by rewrite.
apply_pods() {
	local node
	for node in "${NODES[@]}"; do
		printf -- '---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n  nodeName: %s\n  terminationGracePeriodSeconds: 1\n  containers:\n  - name: app\n    image: pods-app:dev\n' "$node" "$node"
	done | "$SIDELIFT" rewrite - | kubectl apply -f - >/dev/null
}

@test "a pod with imagePullPolicy: Never runs on every node from what was just loaded" {
	build_talker pods-app:dev one first
	run "$SIDELIFT" load pods-app:dev
	[ "$status" = 0 ]
	apply_pods
	pods_say "one first"
	[ "$(kubectl get pods -o jsonpath='{.items[*].spec.containers[0].imagePullPolicy}')" = "Never Never Never Never" ]
	[ "$(kubectl get pods -o jsonpath='{.items[*].status.containerStatuses[0].imageID}' | tr ' ' '\n' | sort -u | sed 's/.*sha256:/sha256:/')" = "$(config_in_engine pods-app:dev)" ]
}

@test "after a rebuild of the code under the same name the new code runs" {
	build_talker pods-app:dev two first
	run "$SIDELIFT" load pods-app:dev
	[ "$status" = 0 ]
	kubectl delete pods --all --wait=true --timeout=60s >/dev/null
	apply_pods
	pods_say "two first"
}

@test "after a rebuild with only ENV changed the new ENV is what runs, at once" {
	build_talker pods-app:dev two second
	kubectl delete pods --all --wait=true --timeout=60s >/dev/null
	"$SIDELIFT" load -q pods-app:dev
	apply_pods
	pods_say "two second"
}

@test "the image survives a restart of containerd" {
	for node in "${NODES[@]}"; do docker exec "$node" pkill -x containerd; done
	for node in "${NODES[@]}"; do
		for _ in $(seq 100); do docker exec "$node" ctr version >/dev/null 2>&1 && break; sleep 0.2; done
	done
	run "$SIDELIFT" load pods-app:dev
	[ "$status" = 0 ]
	[ "$(grep -c 'present already' <<<"$output")" = 4 ]
	kubectl delete pods --all --wait=true --timeout=90s >/dev/null
	apply_pods
	pods_say "two second"
}

@test "the kubelet's own collector frees what went straight into snapshots, all of it" {
	local dir=$BATS_TEST_TMPDIR/gc before node
	mkdir -p "$dir/base"
	for i in 1 2 3 4 5 6 7 8; do head -c 1500000 /dev/urandom >"$dir/base/f$i"; done
	date >"$dir/top"
	printf 'FROM scratch\nCOPY base /base\nCOPY top /top\n' >"$dir/Dockerfile"
	build_image pods-gc:dev "$dir"
	for node in "${NODES[@]}"; do docker exec "$node" sh -c 'ctr -n k8s.io snapshots ls | sed 1d | cut -d" " -f1 | grep ^sha256 | sort >/tmp/snapshots-before' 2>/dev/null; done
	"$SIDELIFT" load -q --importer direct pods-gc:dev
	docker rmi -f pods-gc:dev >/dev/null
	for node in "${NODES[@]}"; do
		[ "$(docker exec "$node" sh -c 'ctr -n k8s.io snapshots ls | sed 1d | cut -d" " -f1 | grep ^sha256 | sort | comm -13 /tmp/snapshots-before - | wc -l' 2>/dev/null)" = 2 ]
		# any disk is too full for it now, and no image too young
		docker exec "$node" sh -c 'sed -i "s/fs.available: .0%./fs.available: \"99%\"/g; \$ a imageMinimumGCAge: 1ns" /var/lib/kubelet/config.yaml
			line=$(tr "\0" " " <"/proc/$(pgrep -x kubelet)/cmdline")
			pkill -x kubelet; sleep 1
			setsid $line >/tmp/kubelet.log 2>&1 </dev/null &'
	done
	for node in "${NODES[@]}"; do
		for _ in $(seq 120); do
			[ -n "$(docker exec "$node" sh -c 'ctr -n k8s.io snapshots ls | sed 1d | cut -d" " -f1 | grep ^sha256 | sort | comm -13 /tmp/snapshots-before -' 2>/dev/null)" ] || break
			sleep 0.5
		done
		run docker exec "$node" sh -c 'ctr -n k8s.io images ls -q | grep pods-gc; ctr -n k8s.io snapshots ls | sed 1d | cut -d" " -f1 | grep ^sha256 | sort | comm -13 /tmp/snapshots-before -; ctr -n k8s.io leases ls -q | grep sidelift'
		[ -z "$(grep -v 'level=warning' <<<"$output")" ]
	done
}

@test "nothing was pulled, ever" {
	run kubectl get events -A -o jsonpath='{range .items[*]}{.reason}{"\n"}{end}'
	[ "$status" = 0 ]
	[[ "$output" = *Started* ]]
	[[ "$output" != *Pulling* ]]
	[[ "$output" != *ErrImageNeverPull* ]]
}
