#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What needs no cluster of `up --watch`: what it refuses, and that a .dockerignore means
# what it means to docker.

load helpers/common

refuses() { # CODE TEXT ARGUMENT...
	run --separate-stderr "$SIDELIFT" up --watch "${@:3}"
	[ "$status" = "$1" ]
	[[ "$stderr" = *"$2"* ]]
	[ -z "$output" ]
}

@test "--watch needs manifests, and files that can be read again" {
	refuses 2 "no manifest; name one: sidelift up -f PATH"
	refuses 2 "--watch cannot read standard input again; name a file instead of -f -" -f -
}

@test "--watch excludes --dry-run and --timeout" {
	refuses 2 "--watch and --dry-run exclude each other" -f x --dry-run
	refuses 2 "does not go with --watch, which has no end; --wait limits each rollout" -f x --timeout 90s
	SIDELIFT_TIMEOUT=5m refuses 2 "--timeout (or SIDELIFT_TIMEOUT) does not go with --watch" -f x
}

# files FILE: what of the context arrives in an image, but for Dockerfile and .dockerignore
in_image() {
	# once more: a layer of the same content that another test removes at this moment
	docker build -q -t watch-ignore:dev . >/dev/null 2>&1 || docker build -q -t watch-ignore:dev . >/dev/null 2>../build.err || return 1
	local id
	id=$(docker create watch-ignore:dev x)
	docker export "$id" | tar -t | sed -n 's|^ctx/\(.*[^/]\)$|\1|p' | LC_ALL=C sort
	docker rm "$id" >/dev/null
}

@test "a .dockerignore leaves out what docker leaves out, for 48 of them" {
	local library case want got bad=0 n=0
	library=$ROOT/build/release/libsidelift.a
	cc -std=c17 -D_GNU_SOURCE -I"$ROOT/src" -I"$ROOT/include" -o "$BATS_TEST_TMPDIR/ignored" "$BATS_TEST_DIRNAME/helpers/ignored.c" "$library" -ljansson
	mkdir "$BATS_TEST_TMPDIR/ctx" && cd "$BATS_TEST_TMPDIR/ctx"
	mkdir -p a/b/c docs/api src/deep/er node_modules/x 'with blank' .hidden 'ä'
	touch a/one.txt a/b/two.txt a/b/c/three.txt a/abc a/aBc README.md NEWS.md docs/index.md docs/api/README.md src/main.c src/main.o \
		src/deep/util.c src/deep/util.o src/deep/er/x.c node_modules/x/index.js 'with blank/file' .hidden/y .env .env.local temp tempo Temp \
		ace aee '#hash' 'a!b' '!bang' 'x[1]' 'star*' 'ä/ö.txt' 'ö.txt' a.b axb foo barfoo
	printf 'FROM scratch\nCOPY . /ctx/\n' >Dockerfile
	local cases=(
		'' '*' '**' '.' '/' '..' 'a' 'a/' '/a' './a' 'a/b/..' 'a/../docs' '//docs//api/' '*.md' '**/*.md' '*/*.md' '**/*.o' 'src/**' 'src/**/x.c'
		'**/deep' 'a?' 'a?c' 'a[b-d]e' 'a[^b-d]e' 'temp*' 'Temp' '*.b' 'a\.b' '#hash' '\#hash' ' #hash' 'with blank' '  temp  ' '.*' '.env*'
		$'*.md\n!README.md' $'!README.md\n*.md' $'docs\n!docs/api/README.md' $'*\n!src' $'*\n!src/deep\n**/*.o' $'src\n!src/deep\nsrc/deep/er'
		$'*\n!*.md' $'a/*\n! a/b' '\!bang' 'x\[1\]' 'star\*' '?.txt' 'ä/?.txt' '**foo' 'a/**/three.txt' $'# no\n\n*.md\r\n/temp\r\n' $'\xef\xbb\xbftemp'
	)
	for case in "${cases[@]}"; do
		printf '%s\n' "$case" >.dockerignore
		want=$(in_image) || { echo "docker refuses '$case': $(tail -1 ../build.err)"; bad=1; continue; }
		got=$(find . -type f ! -path ./Dockerfile ! -path ./.dockerignore | sed 's|^\./||' | "$BATS_TEST_TMPDIR/ignored" .dockerignore | LC_ALL=C sort)
		n=$((n + 1))
		want=$(grep -vxE 'Dockerfile|\.dockerignore' <<<"$want" || true)
		[ "$want" = "$got" ] || { printf "'%s':\n" "$case"; diff <(echo "$want") <(echo "$got"); bad=1; }
	done
	docker rmi -f watch-ignore:dev >/dev/null
	echo "$n compared"
	[ "$n" -ge 48 ]
	[ "$bad" = 0 ]
}

@test "what docker refuses in a .dockerignore is refused" {
	mkdir "$BATS_TEST_TMPDIR/bad" && cd "$BATS_TEST_TMPDIR/bad"
	cc -std=c17 -D_GNU_SOURCE -I"$ROOT/src" -I"$ROOT/include" -o ../ignored "$BATS_TEST_DIRNAME/helpers/ignored.c" "$ROOT/build/release/libsidelift.a" -ljansson
	printf 'FROM scratch\nCOPY . /ctx/\n' >Dockerfile
	local case
	for case in '[' 'a[b' '[]a]' '[-]' 'a\' '!' '[a-]'; do
		printf '%s\n' "$case" >.dockerignore
		run docker build -q .
		[ "$status" != 0 ]
		run ../ignored .dockerignore </dev/null
		[ "$status" = 1 ]
		[[ "$output" = "line 1: "*"docker refuses it as well" ]]
	done
}
