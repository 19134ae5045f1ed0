#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The library as its user has it: what `make install` puts down, found by pkg-config,
# and the two programs of examples/library made and run with nothing else.

load helpers/common

NODES=(library-control-plane library-worker)

setup_file() {
	KUBECONFIG=$("$ROOT/tests/bed/nodes-only.sh" library bookworm newest 2>/dev/null)
	export KUBECONFIG
	export PREFIX=$BATS_FILE_TMPDIR/prefix EXAMPLES=$BATS_FILE_TMPDIR/examples
	export PKG_CONFIG_PATH=$PREFIX/lib/pkgconfig
	make -C "$ROOT" --no-print-directory install PREFIX="$PREFIX" >/dev/null
	cp -r "$ROOT/examples/library" "$EXAMPLES"
	make -C "$EXAMPLES" CFLAGS='-O2 -Wall -Wextra -Werror -pedantic' >"$BATS_FILE_TMPDIR/made" 2>&1
	export BATS_TEST_TMPDIR=$BATS_FILE_TMPDIR
	new_image library-small:dev 200
	docker save -o "$BATS_FILE_TMPDIR/small.tar" library-small:dev
}

teardown_file() {
	"$ROOT/tests/bed/down.sh" library
	docker images --format '{{.Repository}}:{{.Tag}}' | grep '^library-' | xargs -r docker rmi -f >/dev/null 2>&1 || true
}

setup() { wipe "${NODES[@]}"; }

# As a program is run that nobody has prepared for anything.
load_images() { env --default-signal=PIPE,INT,TERM "$EXAMPLES/load-images" "$@"; }

# The functions that the header promises.
promised() { grep -oE '\b(sidelift_[a-z_]+|sl_status_exit_code)\(' "$ROOT/include/sidelift.h" | tr -d '(' | sort -u; }

# load_until NODE COMMAND...: load library-large:dev, and do that when a layer of it is on
# its way into the node; the exit code is in $got, what was said in out and err.
load_until() {
	local watcher load
	docker exec "$1" timeout 60 sh -c 'echo watching; until pgrep -x tar >/dev/null; do sleep 0.02; done; echo seen' >"$BATS_TEST_TMPDIR/seen" 3>&- &
	watcher=$!
	until grep -q watching "$BATS_TEST_TMPDIR/seen"; do sleep 0.02; done
	load_images library-large:dev >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" 3>&- &
	load=$!
	wait "$watcher"
	shift
	"${@//LOAD/$(pgrep -P $load -x load-images || echo $load)}"
	got=0
	wait $load || got=$?
	cat "$BATS_TEST_TMPDIR/out" "$BATS_TEST_TMPDIR/err"
}

# ---- what is installed ----

@test "make install: these files and no others" {
	make -C "$ROOT" --no-print-directory install DESTDIR="$BATS_TEST_TMPDIR/root" PREFIX=/usr >/dev/null
	diff - <(cd "$BATS_TEST_TMPDIR/root" && find . ! -type d -printf '%M %p%l\n' | sort -k2) <<-'L'
	lrwxrwxrwx ./usr/bin/kubectl-sideliftsidelift
	-rwxr-xr-x ./usr/bin/sidelift
	-rw-r--r-- ./usr/include/sidelift.h
	lrwxrwxrwx ./usr/lib/docker/cli-plugins/docker-sidelift../../../bin/sidelift
	-rw-r--r-- ./usr/lib/libsidelift.a
	-rw-r--r-- ./usr/lib/libsidelift.so.0
	-rw-r--r-- ./usr/lib/pkgconfig/sidelift.pc
	-rwxr-xr-x ./usr/libexec/sidelift/sidelift-helper
	-rw-r--r-- ./usr/share/bash-completion/completions/sidelift
	-rw-r--r-- ./usr/share/fish/vendor_completions.d/sidelift.fish
	-rw-r--r-- ./usr/share/man/man1/sidelift.1
	-rw-r--r-- ./usr/share/man/man3/sidelift.3
	-rw-r--r-- ./usr/share/zsh/site-functions/_sidelift
	L
}

@test "make deb: these files and no others" {
	package=$ROOT/$(make -C "$ROOT" --no-print-directory deb)
	dpkg-deb -x "$package" "$BATS_TEST_TMPDIR/deb"
	diff - <(cd "$BATS_TEST_TMPDIR/deb" && find . ! -type d -printf '%M %p\n' | sed "s/$(gcc -print-multiarch)/MULTIARCH/" | sort -k2) <<-'L'
	lrwxrwxrwx ./usr/bin/kubectl-sidelift
	-rwxr-xr-x ./usr/bin/sidelift
	-rw-r--r-- ./usr/include/sidelift.h
	-rw-r--r-- ./usr/lib/MULTIARCH/libsidelift.a
	-rw-r--r-- ./usr/lib/MULTIARCH/libsidelift.so.0
	-rw-r--r-- ./usr/lib/MULTIARCH/pkgconfig/sidelift.pc
	lrwxrwxrwx ./usr/lib/docker/cli-plugins/docker-sidelift
	-rwxr-xr-x ./usr/libexec/sidelift/sidelift-helper
	-rw-r--r-- ./usr/share/bash-completion/completions/sidelift
	-rw-r--r-- ./usr/share/doc/sidelift/NEWS.gz
	-rw-r--r-- ./usr/share/doc/sidelift/changelog.gz
	-rw-r--r-- ./usr/share/doc/sidelift/copyright
	-rw-r--r-- ./usr/share/fish/vendor_completions.d/sidelift.fish
	-rw-r--r-- ./usr/share/lintian/overrides/sidelift
	lrwxrwxrwx ./usr/share/man/man1/kubectl-sidelift.1.gz
	-rw-r--r-- ./usr/share/man/man1/sidelift.1.gz
	-rw-r--r-- ./usr/share/man/man3/sidelift.3.gz
	-rw-r--r-- ./usr/share/zsh/vendor-completions/_sidelift
	L
}

@test "the archive and the object show what the header promises, and nothing else" {
	[ "$(promised | wc -l)" -ge 12 ]
	diff <(promised) <(nm -g --defined-only "$PREFIX/lib/libsidelift.a" | awk 'NF == 3 { print $3 }' | sort)
	diff <(promised) <(nm -D --defined-only "$PREFIX/lib/libsidelift.so.0" | awk '{ print $3 }' | sort)
	[ "$(objdump -p "$PREFIX/lib/libsidelift.so.0" | awk '$1 == "SONAME" { print $2 }')" = libsidelift.so.0 ]
}

@test "the man page has every function of the header" {
	diff <(promised) <(grep -oE '^\.F[no] (sidelift_[a-z_]+|sl_status_exit_code)' "$ROOT/docs/sidelift.3" | cut -d' ' -f2 | sort -u)
}

@test "pkg-config: the version is the program's, and --libs is all that a program needs" {
	[ "sidelift $(pkg-config --modversion sidelift)" = "$("$PREFIX/bin/sidelift" --version)" ]
	[[ "$(pkg-config --cflags --libs sidelift)" != *"$ROOT"* ]]
	[ -x "$EXAMPLES/load-images" ] || { cat "$BATS_FILE_TMPDIR/made"; false; }
	# they stand alone
	run ldd "$EXAMPLES/load-images"
	[[ "$output" != *libsidelift* && "$output" != *"not found"* ]]
}

@test "below DESTDIR, too, it is found, by PKG_CONFIG_SYSROOT_DIR" {
	make -C "$ROOT" --no-print-directory install DESTDIR="$BATS_TEST_TMPDIR/root" PREFIX=/opt/sl LIBDIR=/opt/sl/lib64 >/dev/null
	cp -r "$ROOT/examples/library" "$BATS_TEST_TMPDIR/examples"
	PKG_CONFIG_PATH=$BATS_TEST_TMPDIR/root/opt/sl/lib64/pkgconfig PKG_CONFIG_SYSROOT_DIR=$BATS_TEST_TMPDIR/root make -C "$BATS_TEST_TMPDIR/examples" policy-filter
	[ "$(printf 'containers:\n- image: app:dev\n' | "$BATS_TEST_TMPDIR/examples/policy-filter" app:dev)" = $'containers:\n- image: app:dev\n  imagePullPolicy: Never' ]
}

@test "the header stands alone, in C17 and C++, without a warning" {
	cd "$BATS_TEST_TMPDIR"
	echo '#include <sidelift.h>' >alone.c
	gcc -std=c17 -Wall -Wextra -Werror -pedantic -I"$PREFIX/include" -fsyntax-only alone.c
	cat >version.cpp <<-'C'
	#include <sidelift.h>
	#include <cstdio>
	int main()
	{
		sl_error err = SL_ERROR_INIT;
		sidelift_options options = {};
		options.size = sizeof(options);
		sidelift *s = sidelift_open(&options, &err);
		std::printf("%s %d\n", sidelift_version(), s != nullptr);
		sidelift_close(s);
	}
	C
	# shellcheck disable=SC2046
	g++ -std=c++11 -Wall -Wextra -Werror -pedantic version.cpp -o version $(pkg-config --cflags --libs sidelift)
	[ "$(./version)" = "$(pkg-config --modversion sidelift) 1" ]
}

@test "another language loads the object: its version, a manifest" {
	run python3 "$BATS_TEST_DIRNAME/helpers/library.py" "$PREFIX/lib/libsidelift.so.0"
	[ "$status" = 0 ]
	[ "$output" = "$(pkg-config --modversion sidelift)"$'\ncontainers:\n- image: app:dev\n  imagePullPolicy: Never' ]
}

# ---- loading ----

@test "load-images loads into every node, says so, and the second time finds it there" {
	run --separate-stderr load_images library-small:dev
	[ "$status" = 0 ]
	[ -z "$stderr" ]
	[ "${#lines[@]}" = 2 ]
	[[ "${lines[0]}" = "library-control-plane: loaded, 2 layers, 0.2 MB in "* ]]
	[[ "${lines[1]}" = "library-worker: loaded, 2 layers, 0.2 MB in "* ]]
	for node in "${NODES[@]}"; do
		[ "$(config_on_node "$node" docker.io/library/library-small:dev)" = "$(config_in_engine library-small:dev)" ]
		[ "$(file_on_node "$node" docker.io/library/library-small:dev /base)" = "$(hash_of "$BATS_FILE_TMPDIR/ctx/base")" ]
	done
	run load_images library-small:dev
	[ "$status" = 0 ]
	[ "$output" = $'library-control-plane: present already\nlibrary-worker: present already' ]
}

@test "an image that the engine lacks: exit 1, named, nothing loaded" {
	before=$(state_of "${NODES[@]}")
	run --separate-stderr load_images library-small:dev library-none:1
	[ "$status" = 1 ]
	[ -z "$output" ]
	[[ "$stderr" = "load-images: no image 'library-none:1' in the engine at "* ]]
	same_state_soon "$before" "${NODES[@]}"
}

@test "a context that is somewhere else is refused, exit 5" {
	sed -e 's#server: "[^"]*"#server: "https://203.0.113.1:6443"#' "$KUBECONFIG" >"$BATS_TEST_TMPDIR/remote.yaml"
	before=$(state_of "${NODES[@]}")
	KUBECONFIG=$BATS_TEST_TMPDIR/remote.yaml run --separate-stderr load_images library-small:dev
	[ "$status" = 5 ]
	[[ "$stderr" = *"is not provably a local cluster"* ]]
	same_state_soon "$before" "${NODES[@]}"
}

@test "the right address with a foreign CA is refused, exit 5, before a byte moves" {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null -out "$BATS_TEST_TMPDIR/ca.crt" -days 2 -subj /CN=other 2>/dev/null
	sed -e "s#certificate-authority-data: [^}]*#certificate-authority-data: $(base64 -w0 <"$BATS_TEST_TMPDIR/ca.crt")#" "$KUBECONFIG" >"$BATS_TEST_TMPDIR/foreign.yaml"
	before=$(state_of "${NODES[@]}")
	KUBECONFIG=$BATS_TEST_TMPDIR/foreign.yaml run --separate-stderr load_images library-small:dev
	[ "$status" = 5 ]
	[[ "$stderr" = *"trusts another certificate authority"* ]]
	same_state_soon "$before" "${NODES[@]}"
}

@test "a node that is stopped: the other is loaded, exit 3" {
	docker stop -t 1 library-worker >/dev/null
	run --separate-stderr load_images library-small:dev
	docker start library-worker >/dev/null
	for _ in $(seq 50); do docker exec library-worker test -e /run/bed-ready && break; sleep 0.2; done
	[ "$status" = 3 ]
	[[ "${lines[0]}" = "library-control-plane: loaded, "* ]]
	[[ "${lines[1]}" = "library-worker: failed: it is not running (exited)"* ]]
	[[ "$stderr" = "load-images: node 'library-worker': it is not running"* ]]
	[ "$(config_on_node library-control-plane docker.io/library/library-small:dev)" = "$(config_in_engine library-small:dev)" ]
}

@test "a node that dies in the middle is an error, and no SIGPIPE" {
	new_image library-large:dev 150000
	load_until library-worker docker kill library-worker
	docker start library-worker >/dev/null
	for _ in $(seq 50); do docker exec library-worker test -e /run/bed-ready && break; sleep 0.2; done
	[ "$got" = 3 ]
	grep -q '^library-control-plane: loaded, ' "$BATS_TEST_TMPDIR/out"
	grep -q '^library-worker: failed: ' "$BATS_TEST_TMPDIR/out"
	grep -q "^load-images: node 'library-worker': " "$BATS_TEST_TMPDIR/err"
}

@test "interrupted: exit 128+N, and the nodes are as they were" {
	new_image library-large:dev 150000
	before=$(state_of "${NODES[@]}")
	for signal in 'INT 130' 'TERM 143'; do
		load_until library-control-plane kill -"${signal% *}" LOAD
		[ "$got" = "${signal#* }" ]
		grep -q '^load-images: interrupted; what was half done is taken back$' "$BATS_TEST_TMPDIR/err"
		[ "$(grep -c '^library-.*: failed: interrupted' "$BATS_TEST_TMPDIR/out")" = 2 ]
		same_state_soon "$before" "${NODES[@]}"
	done
}

@test "who may not read the engine's store has the installed helper read it, from whatever program" {
	for dir in "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/file" "$BATS_FILE_TMPDIR"; do chmod a+x "$dir"; done
	run --separate-stderr env HOME="$BATS_TEST_TMPDIR" XDG_STATE_HOME="$BATS_TEST_TMPDIR" \
		setpriv --reuid 65534 --regid "$(stat -c %g /var/run/docker.sock)" --clear-groups \
		/usr/bin/python3 - "$PREFIX/lib/libsidelift.so.0" kind/library store library-small:dev <"$BATS_TEST_DIRNAME/helpers/library.py"
	[ "$status" = 0 ]
	[ "$output" = $'library-control-plane 2 store\nlibrary-worker 2 store' ]
	[[ "$stderr" = *"exporter store is passed over: "*"not readable here"*"exporter: store"* ]]
	[ "$(config_on_node library-worker docker.io/library/library-small:dev)" = "$(config_in_engine library-small:dev)" ]
	[ -z "$(docker ps -aq --filter label=dev.sidelift.helper)" ]
}

@test "an archive is loaded by it, whatever the locale: its names are UTF-8" {
	cd "$BATS_TEST_TMPDIR"
	mkdir ctx-utf8
	head -c 30000 /dev/urandom >"ctx-utf8/größe-文件"
	printf 'FROM scratch\nCOPY . /\n' >ctx-utf8/Dockerfile
	build_image library-utf8:dev ctx-utf8
	docker save -o utf8.tar library-utf8:dev
	docker rmi library-utf8:dev >/dev/null
	cat >archive.c <<-'C'
	#include <sidelift.h>
	#include <stdio.h>
	int main(int argc, char **argv)
	{
		struct sl_error err = SL_ERROR_INIT;
		const char *nodes[] = { "library-worker", NULL };
		struct sidelift_options options = { .size = sizeof(options), .nodes = nodes, .importer = "direct" };
		struct sidelift *s = sidelift_open(&options, &err);
		const struct sidelift_cluster *found = sidelift_find(s, &err);
		struct sidelift_result *result = NULL;
		if (found)
			printf("%s %s %s %s %s\n", found->provider, found->name, found->kube_context, found->nodes[0], found->engine_url);
		sidelift_load_archive(s, argv[argc - 1], &result, &err);
		if (result)
			printf("%s %s %d %d\n", result->images[0]->requested, result->images[0]->digest, (int)result->n_nodes, result->nodes[0]->outcome);
		sidelift_result_free(result);
		sidelift_close(s);
		fputs(err.message, stderr);
		return sl_status_exit_code(err.status);
	}
	C
	# shellcheck disable=SC2046
	gcc -std=c17 -Wall -Wextra -Werror archive.c -o archive $(pkg-config --cflags --libs sidelift)
	run --separate-stderr env LC_ALL=C ./archive utf8.tar
	[ "$status" = 0 ]
	[ -z "$stderr" ]
	[ "${lines[0]}" = "kind library kind-library library-worker unix:///var/run/docker.sock" ]
	config=$(tar -xOf utf8.tar manifest.json | jq -r '.[0].Config' | sed 's/\.json$//; s#.*/##')
	[ "${lines[1]}" = "library-utf8:dev sha256:$config 1 2" ]
	[ "$(file_on_node library-worker docker.io/library/library-utf8:dev "/größe-文件")" = "$(hash_of "ctx-utf8/größe-文件")" ]
	run ! config_on_node library-control-plane docker.io/library/library-utf8:dev
}

# ---- manifests ----

@test "policy-filter does to every fixture what sidelift rewrite --image does" {
	cd "$BATS_TEST_TMPDIR"
	local n=0
	for file in "$BATS_TEST_DIRNAME"/manifests/*.yaml "$BATS_TEST_DIRNAME"/manifests/*.json; do
		"$EXAMPLES/policy-filter" app:dev <"$file" >ours
		"$SIDELIFT" rewrite --image app:dev - <"$file" >theirs
		cmp ours theirs
		cmp -s ours "$file" || n=$((n + 1))
	done
	[ "$n" -ge 20 ] # most of them have something to change
}

@test "policy-filter refuses what sidelift rewrite refuses, in its words" {
	printf 'kind: Pod\nspec: {{ .Values.spec }}\n' >"$BATS_TEST_TMPDIR/template.yaml"
	run --separate-stderr "$EXAMPLES/policy-filter" app:dev <"$BATS_TEST_TMPDIR/template.yaml"
	[ "$status" = 1 ]
	[ -z "$output" ]
	said=${stderr#policy-filter: }
	run --separate-stderr "$SIDELIFT" rewrite --image app:dev - <"$BATS_TEST_TMPDIR/template.yaml"
	[ "$stderr" = "sidelift: $said" ]
	run --separate-stderr "$EXAMPLES/policy-filter" Upper <"$BATS_TEST_TMPDIR/template.yaml"
	[ "$status" = 2 ]
}
