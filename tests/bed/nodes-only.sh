#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# nodes-only.sh NAME [SUITE...]: nodes as up.sh makes them, but with nothing in
# them except containerd: up in a second or two, enough for everything that needs
# no kubelet.  Prints the path of a kubeconfig (context kind-NAME) whose server is
# the port that the first node publishes and whose CA is the one in it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || die "usage: nodes-only.sh NAME [SUITE...]"
name=$1
shift
suites=("$@")
[ $# -gt 0 ] || suites=(bookworm)
n=${#suites[@]}
STATE=$(state_dir "$name")
mkdir -p "$STATE/pki" "$STATE/kubeconfig"
for suite in "${suites[@]}"; do
	docker image inspect "sidelift-bed:$suite" >/dev/null 2>&1 || die "no node image sidelift-bed:$suite; run tests/bed/build.sh $suite"
done
cluster_network "$name"
new_ca "$name"
new_cert admin kubernetes-admin system:masters
drop_other_nodes "$name" "$n"
for i in $(seq 0 $((n - 1))); do
	start_node "$name" "$i" "${suites[i]}" containerd "$n"
done
config=$STATE/kubeconfig.yaml
new_kubeconfig "$config" admin "kind-$name" "https://$(published "$name")" "kind-$name"
for i in $(seq 0 $((n - 1))); do
	wait_for 30 docker exec "$(node_name "$name" "$i")" test -e /run/bed-ready || die "containerd of node $i did not come up"
done
say "$name: $n node(s) with containerd"
echo "$config"
