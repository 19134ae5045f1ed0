#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make demo: the main job, start to end, on a real cluster: install what it
# needs, build sidelift, bring up a throwaway cluster if there is none, build the
# example application with a nonce compiled in, side-load it, rewrite its
# manifest, apply it, and fetch the nonce from the pod through its Service.
#
# What it started it stops: the cluster (KEEP=1 leaves it), and the engine.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
work=$(mktemp -d)
own_cluster='' own_engine=''
# Called by the trap.
# shellcheck disable=SC2317
cleanup() {
	rm -rf "$work"
	[ -n "$own_cluster" ] || [ -n "${KEEP:-}" ] || kubectl delete --ignore-not-found -f examples/demo/app.yaml >/dev/null 2>&1 || true
	if [ -n "$own_cluster" ] && [ -z "${KEEP:-}" ]; then
		tests/bed/down.sh demo || true
		[ -z "$own_engine" ] || tests/bed/engine-down.sh || true
	elif [ -n "$own_cluster" ]; then
		echo "left running: KUBECONFIG=$KUBECONFIG (tests/bed/down.sh demo removes it)"
	fi
}
trap cleanup EXIT

say "1. what it needs, and sidelift itself"
scripts/install-deps.sh all
docker info >/dev/null 2>&1 || own_engine=yes
tests/bed/engine-up.sh
make --no-print-directory all
export PATH=$PWD/build/release:$PATH

say "2. a cluster"
# asking which images were side-loaded there passes sidelift's own guard
if kubectl config current-context >/dev/null 2>&1 && sidelift rewrite examples/demo/app.yaml >/dev/null 2>&1; then
	echo "using $(kubectl config current-context)"
else
	tests/bed/build.sh bookworm
	KUBECONFIG=$(tests/bed/up.sh demo bookworm bookworm)
	export KUBECONFIG
	own_cluster=yes
	echo "brought up a throwaway one: $(kubectl config current-context)"
fi

say "3. the application, with a nonce compiled in"
nonce=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
gcc -Os -static -DNONCE="\"$nonce\"" -o "$work/app" examples/demo/main.c
cp examples/demo/Dockerfile "$work/"
DOCKER_BUILDKIT=0 docker build -q -t sidelift-demo:dev "$work" 2>/dev/null
echo "nonce $nonce"

say "4. sidelift load sidelift-demo:dev"
sidelift load sidelift-demo:dev

say "5. sidelift rewrite | kubectl apply"
sidelift rewrite --diff examples/demo/app.yaml
sidelift rewrite examples/demo/app.yaml | kubectl apply -f -
kubectl rollout restart deployment/sidelift-demo >/dev/null
kubectl rollout status deployment/sidelift-demo --timeout=90s

say "6. through the Service"
for _ in $(seq 50); do
	got=$(kubectl get --raw "/api/v1/namespaces/default/services/sidelift-demo:80/proxy/" 2>/dev/null) || got=
	[ "$got" != "$nonce" ] || break
	sleep 0.2
done
kubectl get pods -l app=sidelift-demo -o wide
if [ "$got" != "$nonce" ]; then
	echo "the Service answers '$got', not '$nonce'" >&2
	exit 1
fi
echo "the Service answers $got: what was compiled in during this run"
