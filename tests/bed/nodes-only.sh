#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# nodes-only.sh NAME [SUITE...]: nodes as up.sh makes them, but with nothing in
# them except the runtime: up in a second or two, enough for everything that needs
# no kubelet.  Prints the path of a kubeconfig (context kind-NAME) whose server is
# the port that the first node publishes and whose CA is the one in it.
#
# BED_PROVIDER=minikube: labelled and named as minikube's (context NAME), with sshd
# (user docker, key pki/id_rsa beside the kubeconfig).
set -euo pipefail
# shellcheck source=tests/bed/lib.sh
. "$(dirname "$0")/lib.sh"

begin_cluster "$@"
new_ca "$name"
new_key
new_cert admin kubernetes-admin system:masters
drop_other_nodes "$name" "$n"
for i in $(seq 0 $((n - 1))); do
	start_node "$name" "$i" "${suites[i]}" containerd "$n"
done
config=$STATE/kubeconfig.yaml
context=kind-$name
[ "${BED_PROVIDER:-kind}" = kind ] || context=$name
new_kubeconfig "$config" admin "$context" "https://$(published "$name")" "$context"
for i in $(seq 0 $((n - 1))); do
	wait_for 30 docker exec "$(node_name "$name" "$i")" test -e /run/bed-ready || die "the runtime of node $i did not come up"
done
say "$name: $n node(s) with ${suites[*]}"
echo "$config"
