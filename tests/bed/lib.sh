# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# What the scripts of the bed share.  Source it after `set -euo pipefail`.

BED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export BED_CACHE=${BED_CACHE:-$HOME/.cache/sidelift-bed}
export PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin

K8S_VERSION=1.33.13
KIND_VERSION=v0.33.0
HELM_VERSION=v3.18.6
CONTAINERD_VERSION=v2.4.2
MOBY_VERSION=v2.0.0-beta.24 # of the Go module; it is dockerd
DOCKER_VERSION=29.8.0
BED_SUITES=(bookworm trixie sid newest) # containerd 1.6, 1.7, 2.1, and the newest of the Go modules
BED_RUNTIMES=(docker-bookworm docker-sid docker-sid-containerd docker-newest podman) # dockerd 20.10, 28, 28 with containerd's store, 29; containers/storage
BED_BIN=$BED_CACHE/bin-$K8S_VERSION
BED_LABEL=dev.sidelift.bed

mkdir -p "$BED_CACHE/state" "$BED_CACHE/locks"

say() { printf '[%3ds] %s\n' "$SECONDS" "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# retry N COMMAND...: registries stumble now and then
retry() {
	local n=$1 i
	shift
	for i in $(seq "$n"); do
		"$@" && return
		say "failed ($i of $n): $*"
		[ "$i" = "$n" ] || sleep $((i * 3))
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

# Two scripts at once on the same thing wait for each other.  Descriptor 9 is
# inherited: whatever outlives the script must be started with 9>&-.
lock() { # NAME
	exec 9>"$BED_CACHE/locks/$1"
	flock -n 9 && return
	say "another one is at $1, waiting"
	flock 9
}

# A cluster's name becomes a folder, a network and host names.
check_name() {
	[[ $1 =~ ^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$ ]] || die "'$1' is no name for a cluster (lower-case letters, digits, - and .)"
}

# As BED_PROVIDER (kind, minikube) names them.
node_name() { # CLUSTER INDEX
	case ${BED_PROVIDER:-kind}-$2 in
	minikube-0) echo "$1" ;;
	minikube-*) printf '%s-m%02d\n' "$1" "$(($2 + 1))" ;;
	kind-0) echo "$1-control-plane" ;;
	kind-1) echo "$1-worker" ;;
	*) echo "$1-worker$2" ;;
	esac
}

state_dir() { echo "$BED_CACHE/state/$1"; }

# ---- certificates and kubeconfigs, in $STATE/pki and $STATE/kubeconfig ----

# A new CA makes whatever an old one signed worthless.
new_ca() {
	local p=$STATE/pki
	[ -s "$p/ca.crt" ] && return
	rm -rf "${p:?}"/*
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$p/ca.key" -out "$p/ca.tmp" \
		-days 3650 -subj "/CN=$1-ca" -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
	mv "$p/ca.tmp" "$p/ca.crt"
}

new_cert() { # FILE COMMON-NAME ORGANISATION [SUBJECT-ALTERNATIVE-NAMES]
	local p=$STATE/pki
	[ -s "$p/$1.crt" ] && return
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$p/$1.key" -out "$p/$1.csr" -subj "/O=$3/CN=$2" 2>/dev/null
	openssl x509 -req -in "$p/$1.csr" -CA "$p/ca.crt" -CAkey "$p/ca.key" -CAcreateserial -days 3650 -out "$p/$1.tmp" \
		-extfile <(printf 'keyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=clientAuth,serverAuth\n'
			[ -z "${4:-}" ] || echo "subjectAltName=$4") 2>/dev/null
	rm "$p/$1.csr"
	mv "$p/$1.tmp" "$p/$1.crt"
}

# What the nodes let in by ssh, as user docker, as minikube's do.
new_key() {
	local p=$STATE/pki
	[ -s "$p/id_rsa" ] || ssh-keygen -q -t rsa -N '' -f "$p/id_rsa"
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

# The names that a cluster needs must be free, or the bed's own: somebody's kind
# cluster of the same name is not ours to replace.
refuse_foreign() { # CLUSTER N
	local i name owner
	for i in $(seq 0 $(($2 - 1))); do
		name=$(node_name "$1" "$i")
		owner=$(docker container inspect -f "{{index .Config.Labels \"$BED_LABEL\"}}" "$name" 2>/dev/null) || continue
		[ "$owner" = "$1" ] || die "there is a container $name that the bed did not make; take another name"
	done
}

# The cluster's network, and its SUBNET (three numbers): what exists, or the first
# free one from a number made of the name.
cluster_network() { # CLUSTER
	local i from old error
	NET=bed-$1
	if old=$(docker network inspect -f "{{index .Labels \"$BED_LABEL\"}} {{range .IPAM.Config}}{{.Subnet}}{{end}}" "$NET" 2>/dev/null); then
		if [[ $old =~ ^$1\ (172\.30\.[0-9]+)\.0/24$ ]]; then
			SUBNET=${BASH_REMATCH[1]}
			return
		fi
		# a leftover without our label or with another range; in use, it stays
		docker network rm "$NET" >/dev/null 2>&1 || die "there is a network $NET that the bed did not make; take another name"
	fi
	from=$(($(cksum <<<"$1" | cut -d' ' -f1) % 100))
	for i in $(seq 0 99); do
		SUBNET=172.30.$((100 + (from + i) % 100))
		error=$(docker network create --label "$BED_LABEL=$1" --subnet "$SUBNET.0/24" "$NET" 2>&1 >/dev/null) && return
		[[ $error == *verlap* ]] || break
	done
	die "no network $NET: $error"
}

# The labels by which the cluster's tool knows its nodes, and what it publishes.
provider_arguments() { # CLUSTER INDEX ROLE NAME
	case ${BED_PROVIDER:-kind} in
	kind) printf -- '--label\n%s\n' "io.x-k8s.kind.cluster=$1" "io.x-k8s.kind.role=$3" ;;
	minikube)
		printf -- '--label\n%s\n' created_by.minikube.sigs.k8s.io=true "name.minikube.sigs.k8s.io=$1" \
			"role.minikube.sigs.k8s.io=$3" "mode.minikube.sigs.k8s.io=$4"
		printf -- '-p\n%s\n' 127.0.0.1:0:22
		;;
	esac
	[ "$2" != 0 ] || printf -- '-p\n%s\n' "127.0.0.1:0:$(api_port)"
}

# Start node INDEX of CLUSTER from the image of SUITE; MODE is cluster or
# containerd (nothing but it).  Repairs what an earlier run left; replaces it when
# it was made in another way, which its label .key tells.  With a new control
# plane all the nodes are new (REPLACED), and so they are with BED_FRESH.
REPLACED=${BED_FRESH:-}
start_node() { # CLUSTER INDEX SUITE MODE N
	local name role=worker given extra=() tmpfs='' key old c
	name=$(node_name "$1" "$2")
	[ "$2" != $(($5 - 1)) ] || tmpfs=${BED_NODE_TMPFS:-}
	key="${BED_PROVIDER:-kind} $3 $4 tmpfs=$tmpfs proxy=${KUBE_PROXY:-1} $SUBNET $(docker image inspect -f '{{.Id}}' "sidelift-bed:$3") $(cat "$STATE/pki/ca.crt")"
	key=$(sha256sum <<<"$key" | cut -c1-16)
	old=$(docker container inspect -f "{{index .Config.Labels \"$BED_LABEL.key\"}}" "$name" 2>/dev/null) || old=
	if [ "$old" = "$key" ] && [ -z "$REPLACED" ]; then
		docker unpause "$name" >/dev/null 2>&1 || true
		docker start "$name" >/dev/null && return
	fi
	[ "$2" != 0 ] || REPLACED=yes
	docker rm -fv "$name" >/dev/null 2>&1 || true
	[ "$2" != 0 ] || role=control-plane
	mapfile -t given < <(provider_arguments "$1" "$2" "$role" "$name")
	[ -z "$tmpfs" ] || extra=(--tmpfs "/var/lib/containerd:exec,size=$tmpfs")
	mapfile -t c < <(caps)
	docker run -d --name "$name" --hostname "$name" --network "$NET" --ip "$SUBNET.$((10 + $2))" "${c[@]}" \
		--security-opt seccomp=unconfined --security-opt systempaths=unconfined --device-cgroup-rule 'a *:* rwm' \
		--device /dev/kmsg --cgroupns=private --tmpfs /run:exec --tmpfs /tmp:exec --volume /var "${extra[@]}" "${given[@]}" \
		--label "$BED_LABEL=$1" --label "$BED_LABEL.key=$key" \
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
	check_name "$name"
	shift
	suites=("$@")
	[ $# -gt 0 ] || suites=(bookworm)
	n=${#suites[@]}
	for suite in "${suites[@]}"; do
		docker image inspect "sidelift-bed:$suite" >/dev/null 2>&1 || die "no node image sidelift-bed:$suite; run tests/bed/build.sh $suite"
	done
	lock "cluster-$name"
	refuse_foreign "$name" "$n"
	STATE=$(state_dir "$name")
	mkdir -p "$STATE/pki" "$STATE/kubeconfig"
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

# Where the control plane's API port is published; it may change with every start.
api_port() { case ${BED_PROVIDER:-kind} in kind) echo 6443 ;; minikube) echo 8443 ;; esac; }
published() { docker port "$(node_name "$1" 0)" "$(api_port)/tcp" | head -1; }
