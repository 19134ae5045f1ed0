#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# build.sh [kind|helm|SUITE...|all]: what the bed is made of, once; cached in
# $BED_CACHE.  From Debian's packages and Go modules only.  Cold it takes about
# 20 minutes for all on two cores, warm a second.
set -euo pipefail
# shellcheck source=tests/bed/lib.sh
. "$(dirname "$0")/lib.sh"

lock build

MODULE=$BED_CACHE/kmod-$K8S_VERSION
PROGRAMS=(kubelet kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubectl)

need_go() { command -v go >/dev/null || die "no Go toolchain (looked on PATH and in /usr/local/go/bin)"; }
nice_go() { nice -n 5 env GOFLAGS=-mod=mod CGO_ENABLED=0 go "$@"; }

# go_build OUT PACKAGE [FLAG...]: whole or not at all
go_build() {
	local out=$1 package=$2
	shift 2
	retry 2 nice_go build -p 2 -trimpath "$@" -o "$out.tmp" "$package"
	mv "$out.tmp" "$out"
}

# go_install NAME MODULE VERSION [FLAG...]: a program of a module without replace directives
go_install() {
	local name=$1 module=$2 version=$3
	shift 3
	[ ! -x "$BED_CACHE/bin/$name" ] || return 0
	need_go
	say "building $name $version"
	GOBIN=$BED_CACHE/bin/tmp-$name retry 3 nice_go install -p 2 -trimpath "$@" "$module@$version"
	mv "$BED_CACHE/bin/tmp-$name"/* "$BED_CACHE/bin/$name"
	rmdir "$BED_CACHE/bin/tmp-$name"
}

build_kind() { go_install kind sigs.k8s.io/kind "$KIND_VERSION"; }
build_helm() { go_install helm helm.sh/helm/v3/cmd/helm "$HELM_VERSION"; }
build_dockerd() {
	go_install "dockerd-$DOCKER_VERSION" github.com/moby/moby/v2/cmd/dockerd "$MOBY_VERSION" \
		-ldflags "-s -w -X github.com/moby/moby/v2/dockerversion.Version=$DOCKER_VERSION"
}

# k8s.io/kubernetes has replace directives, which `go install` refuses: it is
# built from a module of our own that repeats them.
k8s_module() {
	local mod m
	[ ! -s "$MODULE/go.sum" ] || return 0
	mkdir -p "$MODULE/crishim"
	cd "$MODULE"
	printf 'module bed.local/k8s\n' >go.mod
	mod=$(retry 3 go mod download -json "k8s.io/kubernetes@v$K8S_VERSION" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
	{
		echo "module bed.local/k8s"
		grep -E '^go ' "$mod"
		echo "require k8s.io/kubernetes v$K8S_VERSION"
		echo 'replace ('
		grep -oE '=> \./staging/src/[^ ]+' "$mod" | sed 's#=> ./staging/src/##' | sort -u |
			while read -r m; do echo "$m => $m v0.${K8S_VERSION#*.}"; done
		echo ')'
	} >go.mod
	{
		printf '//go:build tools\n\npackage tools\n\nimport (\n'
		for m in "${PROGRAMS[@]}"; do echo "	_ \"k8s.io/kubernetes/cmd/$m\""; done
		echo ')'
	} >tools.go
	cp "$BED/node/crishim.go" crishim/main.go
	GOFLAGS=-mod=mod retry 3 go mod tidy -e >"$MODULE/tidy.log" 2>&1
}

build_kubernetes() {
	local p v=k8s.io/component-base/version ld
	ld="-s -w -X $v.gitVersion=v$K8S_VERSION -X $v.gitMajor=1 -X $v.gitMinor=$(cut -d. -f2 <<<"$K8S_VERSION")"
	ld+=" -X $v.gitTreeState=clean -X $v.gitCommit=0000000000000000000000000000000000000000 -X $v.buildDate=1970-01-01T00:00:00Z"
	mkdir -p "$BED_BIN" "$MODULE"
	for p in "${PROGRAMS[@]}"; do
		[ ! -x "$BED_BIN/$p" ] || continue
		need_go
		(k8s_module && cd "$MODULE" && go_build "$BED_BIN/$p" "k8s.io/kubernetes/cmd/$p" -ldflags "$ld")
		say "built $p"
	done
	if [ ! -x "$BED_BIN/crictl" ] || ! cmp -s "$BED/node/crishim.go" "$MODULE/crishim/main.go"; then
		need_go
		rm -f "$BED_BIN/crictl" # built from this source, or not there
		(k8s_module && mkdir -p "$MODULE/crishim" && cp "$BED/node/crishim.go" "$MODULE/crishim/main.go" &&
			cd "$MODULE" && go_build "$BED_BIN/crictl" ./crishim -ldflags '-s -w')
	fi
}

# The newest containerd, in the same way.
build_containerd() {
	local name=containerd-$CONTAINERD_VERSION module=github.com/containerd/containerd/v2 dir out mod p program
	dir=$BED_CACHE/mods/$name out=$BED_CACHE/bin/$name
	mkdir -p "$dir" "$out"
	for p in cmd/containerd cmd/containerd-shim-runc-v2 cmd/ctr; do
		[ ! -x "$out/$(basename $p)" ] || continue
		need_go
		if [ ! -s "$dir/go.sum" ]; then (
			cd "$dir"
			printf 'module bed.local/containerd\n' >go.mod
			mod=$(retry 3 go mod download -json "$module@$CONTAINERD_VERSION" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
			{
				echo "module bed.local/containerd"
				grep -E '^go ' "$mod"
				echo "require $module $CONTAINERD_VERSION"
				sed -n -e '/^exclude (/,/^)/p' -e '/^exclude [^(]/p' -e '/^replace (/,/^)/p' -e '/^replace [^(]/p' "$mod" | grep -v '=> \./' || true
			} >go.mod
			{
				printf '//go:build tools\n\npackage tools\n\nimport (\n'
				for program in cmd/containerd cmd/containerd-shim-runc-v2 cmd/ctr; do echo "	_ \"$module/$program\""; done
				echo ')'
			} >tools.go
			GOFLAGS=-mod=mod retry 3 go mod tidy -e >tidy.log 2>&1
		); fi
		say "building $(basename $p) $CONTAINERD_VERSION"
		(cd "$dir" && go_build "$out/$(basename $p)" "$module/$p" -ldflags '-s -w')
	done
}

# The sandbox image: nothing can be pulled here.
build_pause() {
	local d=$BED_CACHE/pause
	[ ! -s "$d/pause.tar" ] || return 0
	mkdir -p "$d"
	gcc -Os -static -s -o "$d/pause" "$BED/node/pause.c"
	printf 'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n' >"$d/Dockerfile"
	DOCKER_BUILDKIT=0 docker build -q -t registry.k8s.io/pause:3.10 "$d" >/dev/null 2>&1
	docker save -o "$d/pause.tar" registry.k8s.io/pause:3.10
}

build_rootfs() { # SUITE
	local r=$BED_CACHE/rootfs-$1 t=$BED_CACHE/rootfs-$1.tar
	local include=containerd,runc,containernetworking-plugins,etcd-server,iproute2,iptables,procps,ca-certificates,util-linux,mount,kmod,conntrack,ethtool,socat,zstd,curl
	[ ! -s "$t" ] || return 0
	mkdir -p "$BED_CACHE/debs"
	say "debootstrap $1"
	one_try() {
		# one that was killed leaves these mounted
		umount -R "$r/proc" "$r/sys" 2>/dev/null || true
		rm -rf "$r" || return
		nice -n 5 debootstrap --variant=minbase --cache-dir="$BED_CACHE/debs" --include="$include" "$1" "$r" >"$BED_CACHE/debootstrap-$1.log" 2>&1
	}
	retry 3 one_try "$1" || { tail "$BED_CACHE/debootstrap-$1.log" >&2; die "debootstrap $1 failed"; }
	umount -R "$r/proc" "$r/sys" 2>/dev/null || true
	rm -rf "$r"/var/cache/apt/* "$r"/var/lib/apt/lists/* "$r"/usr/share/{doc,man,locale,info}/* "$r"/var/log/*.log
	tar -C "$r" -cf "$t.tmp" .
	mv "$t.tmp" "$t"
	rm -rf "$r"
}

# Nodes with other runtimes, and with sshd; their packages come on top of a suite's.
runtime_base() { # SUITE PACKAGE...
	local suite=$1 d=$BED_CACHE/ctx-runtimes-$1 label
	shift
	label=$(sha256sum <<<"$*" | cut -c1-16)
	[ "$(docker image inspect -f '{{index .Config.Labels "bed.key"}}' "sidelift-bed-runtimes:$suite" 2>/dev/null)" != "$label" ] || return 0
	mkdir -p "$d"
	# a frozen mirror's lists are past their date
	cat >"$d/Dockerfile" <<-D
	FROM sidelift-bed-base:$suite
	RUN apt-get -o Acquire::Check-Valid-Until=false update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $* && \
	    rm -rf /var/lib/apt/lists/* /var/cache/apt/*
	LABEL bed.key=$label
	D
	say "packages of other runtimes, $suite"
	build_try() { DOCKER_BUILDKIT=0 docker build --network host -q -t "sidelift-bed-runtimes:$suite" "$d" >/dev/null 2>"$BED_CACHE/docker-build.log"; }
	retry 3 build_try || { cat "$BED_CACHE/docker-build.log" >&2; exit 1; }
	rm -rf "$d"
}

build_runtime_image() { # SUITE
	local base=bookworm packages=(docker.io podman openssh-server sudo) runtime=${1%%-*} endpoint c key version='' config='{"bridge":"none","iptables":false}'
	engine_answers || die "no engine answers; run tests/bed/engine-up.sh"
	case $1 in
	podman) endpoint=/var/run/crio/crio.sock ;;
	docker-sid* | docker-newest) base=sid packages=(docker.io docker-cli openssh-server sudo) ;;&
	docker-*) endpoint=/var/run/cri-dockerd.sock ;;&
	docker-sid) config='{"bridge":"none","iptables":false,"ip6tables":false,"features":{"containerd-snapshotter":false}}' ;;
	docker-newest) version=$DOCKER_VERSION config='{"bridge":"none","iptables":false,"ip6tables":false}' ;;
	docker-sid-containerd) config='{"bridge":"none","iptables":false,"ip6tables":false,"features":{"containerd-snapshotter":true}}' ;;
	esac
	key=$(cat "$BED"/node/entrypoint.sh <(echo "$1 $config $endpoint ${packages[*]}${version:+ $version}") | sha256sum | cut -c1-16)
	[ "$(docker image inspect -f '{{index .Config.Labels "bed.key"}}' "sidelift-bed:$1" 2>/dev/null)" != "$key" ] || return 0
	[ -z "$version" ] || build_dockerd
	build_rootfs "$base"
	docker image inspect "sidelift-bed-base:$base" >/dev/null 2>&1 || docker import "$BED_CACHE/rootfs-$base.tar" "sidelift-bed-base:$base" >/dev/null
	runtime_base "$base" "${packages[@]}"
	c=$BED_CACHE/ctx-$1
	rm -rf "$c"
	mkdir -p "$c/bin"
	[ -z "$version" ] || cp "$BED_CACHE/bin/dockerd-$version" "$c/bin/dockerd"
	cp "$BED/node/entrypoint.sh" "$c/"
	echo "$config" >"$c/daemon.json"
	cat >"$c/Dockerfile" <<-D
	FROM sidelift-bed-runtimes:$base
	COPY entrypoint.sh /opt/bed/
	COPY bin/ /usr/local/sbin/
	COPY daemon.json /etc/docker/
	RUN useradd -m -g docker -s /bin/bash docker && echo 'docker ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/docker && \
	    mkdir -p /run/sshd /etc/containers && \
	    printf '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n' >/etc/containers/containers.conf
	ENV BED_RUNTIME=$runtime BED_ENDPOINT=unix://$endpoint
	LABEL bed.key=$key
	ENTRYPOINT ["/opt/bed/entrypoint.sh"]
	D
	DOCKER_BUILDKIT=0 docker build -q -t "sidelift-bed:$1" "$c" >/dev/null 2>"$BED_CACHE/docker-build.log" || { cat "$BED_CACHE/docker-build.log" >&2; exit 1; }
	rm -rf "$c"
	say "node image sidelift-bed:$1"
}

build_node_image() { # SUITE
	local base=$1 key c
	engine_answers || die "no engine answers; run tests/bed/engine-up.sh"
	[ "$1" != newest ] || base=sid
	key=$(cat "$BED"/node/* <(echo "$K8S_VERSION $1 $CONTAINERD_VERSION") | sha256sum | cut -c1-16)
	[ "$(docker image inspect -f '{{index .Config.Labels "bed.key"}}' "sidelift-bed:$1" 2>/dev/null)" != "$key" ] || return 0
	build_pause
	build_kubernetes
	[ "$1" != newest ] || build_containerd
	build_rootfs "$base"
	docker image inspect "sidelift-bed-base:$base" >/dev/null 2>&1 || docker import "$BED_CACHE/rootfs-$base.tar" "sidelift-bed-base:$base" >/dev/null
	c=$BED_CACHE/ctx-$1
	rm -rf "$c"
	mkdir -p "$c/bin"
	for p in "${PROGRAMS[@]}" crictl; do cp -l "$BED_BIN/$p" "$c/bin/" 2>/dev/null || cp "$BED_BIN/$p" "$c/bin/"; done
	[ "$1" != newest ] || cp "$BED_CACHE/bin/containerd-$CONTAINERD_VERSION/"* "$c/bin/"
	cp "$BED"/node/{entrypoint.sh,containerd.toml} "$BED_CACHE/pause/pause.tar" "$c/"
	echo "v$K8S_VERSION" >"$c/version"
	cat >"$c/Dockerfile" <<-D
	FROM sidelift-bed-base:$base
	COPY bin/ /usr/local/bin/
	COPY containerd.toml /etc/containerd/config.toml
	COPY version /kind/version
	COPY entrypoint.sh pause.tar /opt/bed/
	ENV KUBECONFIG=/etc/kubernetes/admin.conf
	LABEL bed.key=$key
	ENTRYPOINT ["/opt/bed/entrypoint.sh"]
	D
	DOCKER_BUILDKIT=0 docker build -q -t "sidelift-bed:$1" "$c" >/dev/null 2>"$BED_CACHE/docker-build.log" || { cat "$BED_CACHE/docker-build.log" >&2; exit 1; }
	rm -rf "$c"
	say "node image sidelift-bed:$1"
}

[ $# -gt 0 ] || set -- all
for what in "$@"; do
	case $what in
	all)
		build_kind
		build_helm
		for suite in "${BED_SUITES[@]}"; do build_node_image "$suite"; done
		for suite in "${BED_RUNTIMES[@]}"; do build_runtime_image "$suite"; done
		;;
	kind) build_kind ;;
	helm) build_helm ;;
	bookworm | trixie | sid | newest) build_node_image "$what" ;;
	docker-bookworm | docker-sid | docker-sid-containerd | docker-newest | podman) build_runtime_image "$what" ;;
	*) die "build kind, helm, ${BED_SUITES[*]} ${BED_RUNTIMES[*]} or all, not '$what'" ;;
	esac
done
