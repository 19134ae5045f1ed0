#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# load --via registry, with an API server that says which registry is the cluster's, and kubelets
# that pull from it: as a cluster elsewhere would, of which nothing but that is known here.

load ../integration/helpers/common

NODES=(viapods-control-plane viapods-worker)
PORT=5651

setup_file() {
	KUBECONFIG=$("$ROOT/tests/bed/up.sh" viapods bookworm trixie 2>/dev/null)
	export KUBECONFIG
	GATEWAY=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}' "${NODES[0]}")
	export GATEWAY
	mkdir "$BATS_FILE_TMPDIR/data"
	printf 'version: 0.1\nlog: {level: info, accesslog: {disabled: false}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: ":%s"}\n' \
		"$BATS_FILE_TMPDIR/data" "$PORT" >"$BATS_FILE_TMPDIR/registry.yml"
	docker-registry serve "$BATS_FILE_TMPDIR/registry.yml" >"$BATS_FILE_TMPDIR/registry.log" 2>&1 3>&- &
	echo $! >"$BATS_FILE_TMPDIR/registry.pid"
	for node in "${NODES[@]}"; do
		docker exec -i "$node" sh -c 'mkdir -p "/etc/containerd/certs.d/$0" && cat >"/etc/containerd/certs.d/$0/hosts.toml"' "$GATEWAY:$PORT" <<-T
		server = "http://$GATEWAY:$PORT"
		[host."http://$GATEWAY:$PORT"]
		  capabilities = ["pull", "resolve"]
		T
		docker exec "$node" sh -c 'printf "[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n" >>/etc/containerd/config.toml; pkill -x containerd'
	done
	for node in "${NODES[@]}"; do
		for _ in $(seq 100); do docker exec "$node" ctr version >/dev/null 2>&1 && break; sleep 0.2; done
	done
}

teardown_file() {
	kill "$(cat "$BATS_FILE_TMPDIR"/registry.pid)" || true
	[ ! -e "$BATS_FILE_TMPDIR/proxy.pid" ] || kill "$(cat "$BATS_FILE_TMPDIR/proxy.pid")" || true
	"$ROOT/tests/bed/down.sh" viapods
	docker rmi -f viapods-app:dev >/dev/null 2>&1 || true
}

hosting() { # YAML: what the cluster says of its registry
	kubectl -n kube-public create configmap local-registry-hosting --from-literal="localRegistryHosting.v1=$1" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
}

apply_pods() { # REFERENCE
	local node
	for node in "${NODES[@]}"; do
		printf -- '---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec:\n  nodeName: %s\n  terminationGracePeriodSeconds: 1\n  containers:\n  - name: app\n    image: %s\n    imagePullPolicy: IfNotPresent\n' "$node" "$node" "$1"
	done | kubectl apply -f - >/dev/null
}

@test "without the ConfigMap it is said how a cluster tells, and what to do" {
	build_talker viapods-app:dev one
	run --separate-stderr "$SIDELIFT" load --via registry viapods-app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"the cluster of context 'kind-viapods' does not say that it has a registry (ConfigMap local-registry-hosting in kube-public, KEP-1755)"*"--via registry=HOST:PORT" ]]
}

@test "a ConfigMap that cannot be used is an error that names the key" {
	refused() { # YAML TEXT
		hosting "$1"
		run --separate-stderr "$SIDELIFT" load --via registry viapods-app:dev
		[ "$status" = 1 ]
		[[ "$stderr" = *"ConfigMap kube-public/local-registry-hosting, localRegistryHosting.v1"*"$2"* ]]
	}
	refused 'host: "http://localhost:5651"' "host: 'http://localhost:5651' is not HOST:PORT"
	refused "$(printf 'host: localhost:5651\nhostFromContainerRuntime: [a, b]')" "hostFromContainerRuntime: '(not a text)'"
	refused 'help: "https://example.com/help"' "names no host (help: https://example.com/help)"
	refused 'host: "a' ":1:9: found unexpected end of stream"
	kubectl -n kube-public create configmap local-registry-hosting --from-literal=another=key --dry-run=client -o yaml | kubectl replace -f - >/dev/null
	run --separate-stderr "$SIDELIFT" load --via registry viapods-app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"has no key localRegistryHosting.v1 (KEP-1755)"* ]]
}

@test "kubelets pull what was pushed, by the name that the ConfigMap gives the runtime" {
	hosting "$(printf 'host: "localhost:%s"\nhostFromContainerRuntime: "%s:%s"\nhelp: "of the test"' $PORT "$GATEWAY" $PORT)"
	run --separate-stderr "$SIDELIFT" load --via registry -o json viapods-app:dev
	[ "$status" = 0 ]
	[ "$(jq -r .registry.url <<<"$output")" = "http://localhost:$PORT" ]
	[[ "$(jq -r .registry.evidence <<<"$output")" = *local-registry-hosting* ]]
	reference=$(jq -r '.images[0].podReference' <<<"$output")
	[[ "$reference" = "$GATEWAY:$PORT/viapods-app:dev@sha256:"* ]]
	apply_pods "$reference"
	pods_say one
	[ "$(kubectl get pods -o jsonpath='{.items[*].status.containerStatuses[0].imageID}' | tr ' ' '\n' | sort -u)" = "${reference/:dev@/@}" ]
}

@test "the tag moved: under the new digest the new code runs, though the policy is IfNotPresent" {
	build_talker viapods-app:dev two
	run --separate-stderr "$SIDELIFT" load --via registry viapods-app:dev
	[ "$status" = 0 ]
	[[ "${lines[1]}" = "  in pods: $GATEWAY:$PORT/viapods-app:dev@sha256:"* ]]
	kubectl delete pods --all --wait=true --timeout=60s >/dev/null
	apply_pods "${lines[1]#  in pods: }"
	pods_say two
}

@test "up --via: build, push, apply by digest, and the new code runs; a second time does nothing" {
	build_talker viapods-app:dev three
	cat >"$BATS_TEST_TMPDIR/web.yaml" <<-Y
	apiVersion: apps/v1
	kind: Deployment
	metadata: {name: web}
	spec:
	  selector: {matchLabels: {app: web}}
	  template:
	    metadata: {labels: {app: web}}
	    spec:
	      terminationGracePeriodSeconds: 1
	      containers:
	      - {name: app, image: 'viapods-app:dev'}
	Y
	run --separate-stderr "$SIDELIFT" up --via registry --build viapods-app:dev="$BATS_FILE_TMPDIR/talker" -f "$BATS_TEST_TMPDIR/web.yaml"
	[ "$status" = 0 ]
	[[ "$output" = *"docker.io/library/viapods-app:dev is pulled as $GATEWAY:$PORT/viapods-app:dev@sha256:"* ]]
	[ "$(kubectl logs deployment/web)" = three ]
	[ "$(kubectl get deployment web -o jsonpath='{.spec.template.spec.containers[0].imagePullPolicy}')" = IfNotPresent ]
	[[ "$(kubectl get deployment web -o jsonpath='{.spec.template.spec.containers[0].image}')" = "$GATEWAY:$PORT/viapods-app:dev@sha256:"* ]]
	run --separate-stderr "$SIDELIFT" up --via registry -f "$BATS_TEST_TMPDIR/web.yaml"
	[ "$status" = 0 ]
	[[ "$output" = *"nothing to do: the registry has the images, and the cluster has the objects"* ]]
	# no node was given anything
	for node in "${NODES[@]}"; do ! docker exec "$node" ctr -n k8s.io images ls -q | grep -q ^docker.io/library/viapods-app; done
	kubectl delete deployment web >/dev/null
	for args in "--policy Never" --watch; do
		run --separate-stderr "$SIDELIFT" up --via registry $args -f "$BATS_TEST_TMPDIR/web.yaml"
		[ "$status" = 2 ]
	done
}

@test "rewrite --via is what kubectl applies" {
	printf 'apiVersion: v1\nkind: Pod\nmetadata: {name: piped}\nspec:\n  containers:\n  - name: app\n    image: viapods-app:dev\n' >"$BATS_TEST_TMPDIR/pod.yaml"
	"$SIDELIFT" rewrite --via registry "$BATS_TEST_TMPDIR/pod.yaml" | kubectl apply -f - >/dev/null
	kubectl wait --for=condition=Ready --timeout=60s pod/piped >/dev/null
	[ "$(kubectl logs piped)" = three ]
}

@test "a context that nothing proves to be local is good enough to read the ConfigMap" {
	kubectl proxy --port=5652 >/dev/null 2>&1 3>&- &
	echo $! >"$BATS_FILE_TMPDIR/proxy.pid"
	for _ in $(seq 50); do curl -s http://127.0.0.1:5652/readyz >/dev/null && break; sleep 0.1; done
	export KUBECONFIG=$BATS_TEST_TMPDIR/far
	kubectl config set-cluster far --server=http://127.0.0.1:5652 >/dev/null
	kubectl config set-context far --cluster=far >/dev/null
	run --separate-stderr "$SIDELIFT" load --kube-context far viapods-app:dev
	[ "$status" = 5 ]
	run --separate-stderr "$SIDELIFT" load --kube-context far --via registry viapods-app:dev
	[ "$status" = 0 ]
	[[ "$output" = *"nothing to push"* ]]
	# and nothing was written there
	run kubectl --context far -n kube-public get configmap local-registry-hosting -o jsonpath='{.metadata.managedFields[*].manager}'
	[[ "$output" != *sidelift* ]]
	run --separate-stderr "$SIDELIFT" load --kube-context nowhere --via registry viapods-app:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"'nowhere'"* ]]
}
