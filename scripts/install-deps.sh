#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# install-deps.sh [build|test|all]: Debian packages that are missing; nothing when
# all are there.  Needs root to install.
set -euo pipefail

build=(gcc:gcc make:make pkg-config:pkg-config)
build_libraries=(libarchive:libarchive-dev libcurl:libcurl4-openssl-dev jansson:libjansson-dev zlib:zlib1g-dev yaml-0.1:libyaml-dev libcrypto:libssl-dev
	libmicrohttpd:libmicrohttpd-dev)
case $(dpkg --print-architecture) in # ISA-L is for these alone
amd64 | arm64) build_libraries+=(libisal:libisal-dev) ;;
esac
test=(clang:clang g++:g++ bats:bats jq:jq python3:python3 strace:strace openssl:openssl shellcheck:shellcheck mandoc:mandoc dockerd:docker.io
	debootstrap:debootstrap runc:runc iptables:iptables ip:iproute2 pkill:procps flock:util-linux docker-registry:docker-registry
	time:time curl:curl socat:socat zsh:zsh fish:fish tcsh:tcsh sshd:openssh-server podman:podman)
test_libraries=(cmocka:libcmocka-dev)

want=${1:-build}
case $want in
build) programs=("${build[@]}") libraries=("${build_libraries[@]}") ;;
test) programs=("${test[@]}") libraries=("${test_libraries[@]}") ;;
all) programs=("${build[@]}" "${test[@]}") libraries=("${build_libraries[@]}" "${test_libraries[@]}") ;;
*) echo "install-deps.sh: build, test or all, not '$want'" >&2; exit 2 ;;
esac

PATH=$PATH:/usr/sbin:/sbin
missing=()
for p in "${programs[@]}"; do
	type -P "${p%%:*}" >/dev/null || missing+=("${p##*:}")
done
for l in "${libraries[@]}"; do
	pkg-config --exists "${l%%:*}" 2>/dev/null || missing+=("${l##*:}")
done
if [ "$want" != build ]; then
	type -P kubectl >/dev/null || missing+=(kubernetes-client)
	/usr/bin/python3 -c 'import yaml' 2>/dev/null || missing+=(python3-yaml)
	# clang's sanitizers and libFuzzer
	[ -n "$(find /usr/lib -name 'libclang_rt.asan-x86_64.a' -print -quit 2>/dev/null)" ] || missing+=("libclang-rt-dev")
fi
[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing: ${missing[*]}" >&2
[ "$(id -u)" = 0 ] || { echo "install-deps.sh: run as root, or: sudo apt-get install ${missing[*]}" >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for try in 1 2 3; do
	apt-get update -qq >"$log" 2>&1 || true
	# the services that come with packages are not wanted, here we start our own
	[ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; own_policy=yes; }
	apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >"$log" 2>&1 && ok=yes || ok=
	[ -z "${own_policy:-}" ] || rm -f /usr/sbin/policy-rc.d
	[ -z "$ok" ] || exit 0
	echo "apt-get failed, try $try of 3" >&2
	sleep $((try * 5))
done
tail -20 "$log" >&2
exit 1
