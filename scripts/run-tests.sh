#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make test: install what is needed and run every test, or the PARTs named:
#
#	scripts/run-tests.sh [lint|build|unit|integration|cluster]...
#
# The last line is "N passed, N failed"; build/test-summary has the numbers.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

parts=("$@")
[ $# -gt 0 ] || parts=(lint build unit integration cluster)
mkdir -p build/test-logs
passed=0 failed=0
broken=()
started_engine=
export SIDELIFT=$PWD/build/release/sidelift

say() { printf '\n== %s (%ds)\n' "$*" "$SECONDS"; }

# one NAME COMMAND...: a check that passes or fails as a whole
one() {
	local name=$1
	shift
	if "$@" >"build/test-logs/$name.log" 2>&1; then
		passed=$((passed + 1))
		echo "ok $name"
	else
		failed=$((failed + 1))
		broken+=("$name")
		echo "not ok $name"
		sed 's/^/# /' "build/test-logs/$name.log" | tail -40
	fi
}

# cmocka: one line a test
unit_tests() { # BUILD
	local t out
	for t in build/"$1"/tests/test_*; do
		[ -x "$t" ] && [ -f "$t" ] || continue
		out=build/test-logs/$(basename "$t")-$1.log
		if "$t" >"$out" 2>&1; then :; else echo "# $t exited with $?" >>"$out"; fi
		local good bad
		good=$(grep -c '^\[       OK \]' "$out")
		bad=$(grep -c '^\[  FAILED  \] [a-z_0-9]*$' "$out")
		[ "$good" -gt 0 ] && ! grep -q '^# ' "$out" || [ "$bad" -gt 0 ] || bad=1
		passed=$((passed + good)) failed=$((failed + bad))
		echo "$(basename "$t") ($1): $good passed, $bad failed"
		[ "$bad" = 0 ] || { broken+=("$(basename "$t")-$1"); tail -40 "$out" | sed 's/^/# /'; }
	done
}

bats_tests() { # NAME FILE...
	local name=$1 out=build/test-logs/$1.tap good bad
	shift
	bats --timing --formatter tap "$@" 2>&1 | tee "$out" | grep -E --line-buffered '^(not )?ok |^#|^1\.\.' 
	good=$(grep -c '^ok ' "$out")
	bad=$(grep -c '^not ok ' "$out")
	local planned
	planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$out" | head -1)
	[ "$((good + bad))" = "${planned:-0}" ] && [ "${planned:-0}" -gt 0 ] || bad=$((bad + 1))
	passed=$((passed + good)) failed=$((failed + bad))
	[ "$bad" = 0 ] || broken+=("$name")
}

cleanup() {
	[ -z "$started_engine" ] || { tests/bed/down.sh --all; tests/bed/engine-down.sh; } >/dev/null 2>&1
}
trap cleanup EXIT
trap 'exit 130' INT TERM

need_engine() {
	[ -z "$started_engine" ] || return 0
	if ! docker info >/dev/null 2>&1; then
		tests/bed/engine-up.sh || exit 1
		started_engine=yes
	fi
}

say "what is needed"
scripts/install-deps.sh all || exit 1

for part in "${parts[@]}"; do
	say "$part"
	case $part in
	lint)
		one shellcheck shellcheck -x -S warning scripts/*.sh tests/bed/*.sh .ci/run
		for script in containerd_direct,containerd imagestore,dockerd imagestore,podman; do
			one "shellcheck-$script" shellcheck -S warning -s sh -e SC2086,SC2034 <(eval "cat src/cluster/{node,$script}.sh")
		done
		one shellcheck-runtime shellcheck -S warning -s sh src/cluster/runtime.sh
		one headers make --no-print-directory check-headers
		one man mandoc -T lint -W warning docs/sidelift.1 docs/sidelift.3
		;;
	build)
		one build-gcc make --no-print-directory DEVELOPER=1
		one build-clang make --no-print-directory DEVELOPER=1 CC=clang O=build/clang ISAL=no
		;;
	unit)
		one build-unit make --no-print-directory DEVELOPER=1 unit-tests
		unit_tests release
		one build-unit-clang make --no-print-directory DEVELOPER=1 CC=clang O=build/clang ISAL=no unit-tests
		unit_tests clang
		one build-asan make --no-print-directory DEVELOPER=1 BUILD=asan all unit-tests
		unit_tests asan
		;;
	integration)
		make --no-print-directory all || exit 1
		need_engine
		tests/bed/build.sh all || exit 1
		bats_tests integration tests/integration/*.bats
		make --no-print-directory BUILD=asan all || exit 1
		SIDELIFT=$PWD/build/asan/sidelift bats_tests rewrite-asan tests/integration/rewrite.bats
		SIDELIFT=$PWD/build/asan/sidelift bats_tests load-asan tests/integration/exporters.bats
		SIDELIFT=$PWD/build/asan/sidelift bats_tests registry-asan -f 'docker with|large|several|index' tests/integration/registry.bats
		SIDELIFT=$PWD/build/asan/sidelift bats_tests via-asan -f 'pushed once|several|archives|damaged|refuses|mounts|password|tokens|interrupted|store' tests/integration/via.bats
		SIDELIFT=$PWD/build/asan/sidelift bats_tests refusals-asan -f 'archives|kubeconfigs|no image name|engine|CA|disk is full|keeps standing|SIGTERM' tests/integration/refusals.bats
		;;
	cluster)
		make --no-print-directory all || exit 1
		need_engine
		tests/bed/build.sh all || exit 1
		bats_tests cluster tests/cluster/*.bats
		make --no-print-directory BUILD=asan all || exit 1
		# what it frees it keeps aside for a while
		ASAN_SLACK=300000 SIDELIFT=$PWD/build/asan/sidelift bats_tests watch-asan -f 'fifty|writes where|during a build stops|fails, and' tests/cluster/watch.bats
		;;
	*)
		echo "unknown part '$part'" >&2
		exit 2
		;;
	esac
done

echo "$passed $failed" >build/test-summary
[ ${#broken[@]} = 0 ] || printf '\nfailed: %s\n' "${broken[*]}"
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
