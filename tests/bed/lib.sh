# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# What the scripts of the bed share.  Source it after `set -euo pipefail`.

BED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export BED_CACHE=${BED_CACHE:-$HOME/.cache/sidelift-bed}
export PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin

K8S_VERSION=1.33.13
KIND_VERSION=v0.33.0
CONTAINERD_VERSION=v2.4.2
BED_SUITES=(bookworm trixie sid newest) # containerd 1.6, 1.7, 2.1, and the newest of the Go modules
BED_BIN=$BED_CACHE/bin-$K8S_VERSION
BED_LABEL=dev.sidelift.bed

mkdir -p "$BED_CACHE/state"

say() { printf '[%3ds] %s\n' "$SECONDS" "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# retry N COMMAND...: registries stumble now and then
retry() {
	local n=$1 i
	shift
	for i in $(seq "$n"); do
		"$@" && return
		say "failed ($i of $n): $*"
		sleep $((i * 3))
	done
	return 1
}

# wait_for SECONDS COMMAND...
wait_for() {
	local until=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$until" ] || return 1
		sleep 0.2
	done
}

engine_answers() { timeout 10 docker info >/dev/null 2>&1; }

# As kind names them.
node_name() { # CLUSTER INDEX
	case $2 in
	0) echo "$1-control-plane" ;;
	1) echo "$1-worker" ;;
	*) echo "$1-worker$2" ;;
	esac
}

state_dir() { echo "$BED_CACHE/state/$1"; }

# ---- certificates and kubeconfigs, in $STATE/pki and $STATE/kubeconfig ----

new_ca() {
	[ -s "$STATE/pki/ca.crt" ] && return
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$STATE/pki/ca.key" -out "$STATE/pki/ca.crt" \
		-days 3650 -subj "/CN=$1-ca" -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
}

new_cert() { # FILE COMMON-NAME ORGANISATION [SUBJECT-ALTERNATIVE-NAMES]
	local p=$STATE/pki
	[ -s "$p/$1.crt" ] && return
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$p/$1.key" -out "$p/$1.csr" -subj "/O=$3/CN=$2" 2>/dev/null
	openssl x509 -req -in "$p/$1.csr" -CA "$p/ca.crt" -CAkey "$p/ca.key" -CAcreateserial -days 3650 -out "$p/$1.crt" \
		-extfile <(printf 'keyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=clientAuth,serverAuth\n'
			[ -z "${4:-}" ] || echo "subjectAltName=$4") 2>/dev/null
	rm "$p/$1.csr"
}

new_kubeconfig() { # FILE CERTIFICATE USER SERVER CONTEXT
	cat >"$1" <<-C
	apiVersion: v1
	kind: Config
	clusters:
	- name: $5
	  cluster: {server: "$4", certificate-authority-data: $(base64 -w0 <"$STATE/pki/ca.crt")}
	users:
	- name: $3
	  user: {client-certificate-data: $(base64 -w0 <"$STATE/pki/$2.crt"), client-key-data: $(base64 -w0 <"$STATE/pki/$2.key")}
	contexts:
	- name: $5
	  context: {cluster: $5, user: $3}
	current-context: $5
	C
}

# ---- containers ----

# Root has no CAP_SYS_RESOURCE on such machines, so --privileged fails; all the
# others by name.
caps() {
	local c
	for c in CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE \
		NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN \
		SYS_BOOT SYS_NICE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN \
		SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ; do
		printf -- '--cap-add\n%s\n' "$c"
	done
}

# The cluster's network, and its SUBNET (three numbers): what exists, or the first
# free one from a number made of the name.
cluster_network() {
	local i from
	NET=bed-$1
	SUBNET=$(docker network inspect -f '{{(index .IPAM.Config 0).Subnet}}' "$NET" 2>/dev/null | sed 's/\.0\/24$//') || true
	[ -z "$SUBNET" ] || return 0
	from=$(($(cksum <<<"$1" | cut -d' ' -f1) % 100))
	for i in $(seq 0 99); do
		SUBNET=172.30.$((100 + (from + i) % 100))
		docker network create --label "$BED_LABEL=$1" --subnet "$SUBNET.0/24" "$NET" >/dev/null 2>&1 && return
	done
	die "no free subnet for the network $NET"
}

# Start node INDEX of CLUSTER from the image of SUITE; MODE is cluster or
# containerd (nothing but it).  Repairs or replaces what an earlier run left.
start_node() { # CLUSTER INDEX SUITE MODE N
	local name role=worker publish=() extra=() c
	name=$(node_name "$1" "$2")
	if [ "$(docker container inspect -f "{{index .Config.Labels \"$BED_LABEL\"}}/{{index .Config.Labels \"$BED_LABEL.suite\"}}/{{index .Config.Labels \"$BED_LABEL.mode\"}}/{{.Image}}" "$name" 2>/dev/null)" = \
		"$1/$3/$4/$(docker image inspect -f '{{.Id}}' "sidelift-bed:$3")" ]; then
		docker unpause "$name" >/dev/null 2>&1 || true
		docker start "$name" >/dev/null && return
	fi
	docker rm -fv "$name" >/dev/null 2>&1 || true
	[ "$2" != 0 ] || { role=control-plane publish=(-p "127.0.0.1:0:6443"); }
	[ "$2" != $(($5 - 1)) ] || [ -z "${BED_NODE_TMPFS:-}" ] || extra=(--tmpfs "/var/lib/containerd:exec,size=$BED_NODE_TMPFS")
	mapfile -t c < <(caps)
	docker run -d --name "$name" --hostname "$name" --network "$NET" --ip "$SUBNET.$((10 + $2))" "${c[@]}" \
		--security-opt seccomp=unconfined --security-opt systempaths=unconfined --device-cgroup-rule 'a *:* rwm' \
		--device /dev/kmsg --cgroupns=private --tmpfs /run:exec --tmpfs /tmp:exec --volume /var "${extra[@]}" "${publish[@]}" \
		--label "io.x-k8s.kind.cluster=$1" --label "io.x-k8s.kind.role=$role" \
		--label "$BED_LABEL=$1" --label "$BED_LABEL.suite=$3" --label "$BED_LABEL.mode=$4" \
		-v "$STATE/pki:/bed/pki:ro" -v "$STATE/kubeconfig:/bed/kubeconfig:ro" \
		-e "BED_MODE=$4" -e "NODE_NAME=$name" -e "NODE_IP=$SUBNET.$((10 + $2))" -e "NODE_INDEX=$2" -e "ROLE=$role" \
		-e "CP_IP=$SUBNET.10" -e "KUBE_PROXY=${KUBE_PROXY:-1}" "sidelift-bed:$3" >/dev/null
}

# What up.sh and nodes-only.sh begin with: NAME and SUITE... as `name`, `suites` and
# `n`; STATE and the network.
begin_cluster() {
	local suite
	[ $# -gt 0 ] || die "usage: NAME [SUITE...]"
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
}

# Remove nodes beyond those that the cluster has now.
drop_other_nodes() { # CLUSTER N
	local keep=" " i id
	for i in $(seq 0 $(($2 - 1))); do keep+="$(node_name "$1" "$i") "; done
	for id in $(docker ps -a --filter "label=$BED_LABEL=$1" --format '{{.Names}}'); do
		case $keep in *" $id "*) ;; *) docker rm -fv "$id" >/dev/null ;; esac
	done
}

# Where the control plane's 6443 is published; it may change with every start.
published() { docker port "$(node_name "$1" 0)" 6443/tcp | head -1; }
