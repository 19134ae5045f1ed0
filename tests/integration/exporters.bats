#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The ways out of the engine: which one is used, and what happens when one cannot
# be, or breaks off.  The engine's store is only ever changed inside a mount
# namespace of the test's own.

load helpers/common

setup_file() {
	KUBECONFIG=$("$ROOT/tests/bed/nodes-only.sh" exporters bookworm 2>/dev/null)
	export KUBECONFIG NODE=exporters-control-plane
}

teardown_file() {
	"$ROOT/tests/bed/down.sh" exporters
	docker rmi -f exporters:dev >/dev/null 2>&1 || true
}

setup() {
	mkdir "$BATS_TEST_TMPDIR/ctx"
	head -c 300000 /dev/urandom >"$BATS_TEST_TMPDIR/ctx/base"
	head -c 2000 /dev/urandom >"$BATS_TEST_TMPDIR/ctx/top"
	printf 'FROM scratch\nCOPY base /base\nCOPY top /top\n' >"$BATS_TEST_TMPDIR/ctx/Dockerfile"
	build_image exporters:dev "$BATS_TEST_TMPDIR/ctx"
	CONFIG=$(docker image inspect -f '{{.Id}}' exporters:dev)
	UPPER=$(docker image inspect -f '{{.GraphDriver.Data.UpperDir}}' exporters:dev)
}

# The config that the node's name stands for.
on_node() {
	local target
	target=$(docker exec "$NODE" ctr -n k8s.io images ls 'name=="docker.io/library/exporters:dev"' | awk 'NR == 2 { print $3 }')
	docker exec "$NODE" ctr -n k8s.io content get "$target" | jq -r .config.digest
}

# The node's own unpacked file.
content_on_node() {
	docker exec "$NODE" sh -c 'ctr -n k8s.io images mount docker.io/library/exporters:dev /mnt >/dev/null && sha256sum <"/mnt'"$1"'"; ctr -n k8s.io images unmount --rm /mnt >/dev/null'
}

@test "root takes the layers out of the engine's store" {
	run --separate-stderr "$SIDELIFT" load -vv -o json exporters:dev
	[ "$status" = 0 ]
	[ "$(jq -r .exporter <<<"$output")" = store ]
	[[ "$stderr" != *images/get* ]]
	[ "$(on_node)" = "$CONFIG" ]
	[ "$(content_on_node /base)" = "$(sha256sum <"$BATS_TEST_TMPDIR/ctx/base")" ]
}

@test "--exporter save asks the engine" {
	run --separate-stderr "$SIDELIFT" load -vv -o json --exporter save exporters:dev
	[ "$status" = 0 ]
	[ "$(jq -r .exporter <<<"$output")" = save ]
	[[ "$stderr" = *images/get* ]]
	[ "$(on_node)" = "$CONFIG" ]
}

@test "both ways give the node the same manifest" {
	"$SIDELIFT" load -q --exporter store exporters:dev
	a=$(docker exec "$NODE" ctr -n k8s.io images ls 'name=="docker.io/library/exporters:dev"' | awk 'NR == 2 { print $3 }')
	docker exec "$NODE" sh -c 'ctr -n k8s.io images rm --sync $(ctr -n k8s.io images ls -q)' >/dev/null
	"$SIDELIFT" load -q --exporter save exporters:dev
	b=$(docker exec "$NODE" ctr -n k8s.io images ls 'name=="docker.io/library/exporters:dev"' | awk 'NR == 2 { print $3 }')
	[ -n "$a" ]
	[ "$a" = "$b" ]
}

@test "a store that cannot be read is passed over, and -v says why" {
	run --separate-stderr unshare -m sh -c "mount -t tmpfs none ${UPPER%/overlay2/*}/image/overlay2/layerdb && exec \"\$@\"" sh \
		"$SIDELIFT" load -v -o json exporters:dev
	[ "$status" = 0 ]
	[ "$(jq -r .exporter <<<"$output")" = save ]
	[[ "$stderr" = *"exporter store is passed over: "*"No such file"* ]]
	[ "$(on_node)" = "$CONFIG" ]
}

@test "a file that is not what it was: the next way takes over, nothing is lost" {
	head -c 2000 /dev/zero >"$BATS_TEST_TMPDIR/other"
	run --separate-stderr unshare -m sh -c "mount --bind $BATS_TEST_TMPDIR/other $UPPER/top && exec \"\$@\"" sh \
		"$SIDELIFT" load -v -o json exporters:dev
	[ "$status" = 0 ]
	[[ "$stderr" = *"exporter store broke off"*"does not hold layer"*"the next one takes over"* ]]
	[ "$(jq -r .exporter <<<"$output")" = save ]
	[ "$(on_node)" = "$CONFIG" ]
	[ "$(content_on_node /top)" = "$(sha256sum <"$BATS_TEST_TMPDIR/ctx/top")" ]
	[ -z "$(docker exec "$NODE" ctr -n k8s.io images ls -q | grep sidelift.invalid)" ]
}

@test "a file that is not what it was, and no other way allowed: exit 1 and the node is untouched" {
	before=$(docker exec "$NODE" ctr -n k8s.io images ls -q | sort)
	head -c 2000 /dev/zero >"$BATS_TEST_TMPDIR/other"
	run --separate-stderr unshare -m sh -c "mount --bind $BATS_TEST_TMPDIR/other $UPPER/top && exec \"\$@\"" sh \
		"$SIDELIFT" load --exporter store exporters:dev
	[ "$status" = 1 ]
	[[ "$stderr" = *"the engine's store does not hold layer"* ]]
	[ "$(docker exec "$NODE" ctr -n k8s.io images ls -q | sort)" = "$before" ]
	[ -z "$(docker exec "$NODE" ctr -n k8s.io leases ls -q)" ]
}

@test "who may not read the store still loads" {
	command -v setpriv >/dev/null
	run --separate-stderr env HOME="$BATS_TEST_TMPDIR" setpriv --reuid 65534 --regid "$(stat -c %g /var/run/docker.sock)" --clear-groups \
		"$SIDELIFT" load -v -o json --cluster kind/exporters exporters:dev
	[ "$status" = 0 ]
	[[ "$stderr" = *"exporter store is passed over: "*"not readable here"* ]]
	[ "$(on_node)" = "$CONFIG" ]
}

@test "an unknown way is a usage error" {
	run --separate-stderr "$SIDELIFT" load --exporter magic exporters:dev
	[ "$status" = 2 ]
	[[ "$stderr" = *"--exporter is store, registry or save, not 'magic'"* ]]
}
