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

@test "a store that cannot be read from here is read by the engine, and -v says why" {
	run --separate-stderr unshare -m sh -c "mount -t tmpfs none ${UPPER%/overlay2/*}/image/overlay2/layerdb && exec \"\$@\"" sh \
		"$SIDELIFT" load -vv -o json exporters:dev
	[ "$status" = 0 ]
	[ "$(jq -r .exporter <<<"$output")" = store ]
	[[ "$stderr" != *images/get* ]]
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

# Somebody who may use docker, but not read its files.
other() { env HOME="$BATS_TEST_TMPDIR" XDG_STATE_HOME="$BATS_TEST_TMPDIR" setpriv --reuid 65534 --regid "$(stat -c %g /var/run/docker.sock)" --clear-groups "$@"; }

helpers() { docker ps -aq --filter label=dev.sidelift.helper; }

@test "who may not read the store has a helper container do it, which is gone afterwards" {
	printf 'VOLUME /data\nUSER 12:12\nWORKDIR /nowhere\nENTRYPOINT ["/no"]\n' >>"$BATS_TEST_TMPDIR/ctx/Dockerfile"
	build_image exporters:dev "$BATS_TEST_TMPDIR/ctx"
	CONFIG=$(docker image inspect -f '{{.Id}}' exporters:dev)
	volumes=$(docker volume ls -q | sort)
	run --separate-stderr other "$SIDELIFT" load -vv -o json --cluster kind/exporters exporters:dev
	[ "$status" = 0 ]
	[[ "$stderr" = *"exporter store is passed over: "*"not readable here"* ]]
	[[ "$stderr" != *images/get* ]]
	[ "$(jq -r .exporter <<<"$output")" = store ]
	[ "$(on_node)" = "$CONFIG" ]
	[ "$(content_on_node /base)" = "$(sha256sum <"$BATS_TEST_TMPDIR/ctx/base")" ]
	[ -z "$(helpers)" ]
	[ "$(docker volume ls -q | sort)" = "$volumes" ]
}

@test "the helper may do nothing but read" {
	head -c 200000000 /dev/urandom >"$BATS_TEST_TMPDIR/ctx/base"
	build_image exporters:dev "$BATS_TEST_TMPDIR/ctx"
	other "$SIDELIFT" load -q --cluster kind/exporters exporters:dev &
	for _ in $(seq 100); do
		found=$(docker inspect $(helpers) 2>/dev/null) && [ "$(jq -r '.[0].State.Running' <<<"$found")" = true ] && break
		sleep 0.02
	done
	wait $!
	[ "$(jq -c '.[0].HostConfig | [.NetworkMode, .ReadonlyRootfs, .Privileged, .CapDrop, .CapAdd, .SecurityOpt, .AutoRemove]' <<<"$found")" = \
		'["none",true,false,["ALL"],["DAC_READ_SEARCH"],["no-new-privileges"],true]' ]
	[ "$(jq -c '[.[0].Mounts[].RW] | unique' <<<"$found")" = '[false]' ]
}

@test "killed or interrupted: no helper container stays" {
	head -c 200000000 /dev/urandom >"$BATS_TEST_TMPDIR/ctx/base"
	build_image exporters:dev "$BATS_TEST_TMPDIR/ctx"
	for signal in TERM KILL; do
		for delay in 0.2 0.4 0.8; do
			other "$SIDELIFT" load -q --cluster kind/exporters exporters:dev 2>/dev/null &
			sleep $delay
			pkill -$signal -u 65534 -x sidelift
			wait $! || true
			# one that was just created may start yet, to find nobody there
			none=0
			for _ in $(seq 150); do
				if [ -n "$(docker ps -q --filter label=dev.sidelift.helper)" ]; then none=0; else none=$((none + 1)); fi
				[ $none -lt 5 ] || break
				sleep 0.1
			done
			[ $none = 5 ]
			[ $signal = KILL ] || [ -z "$(helpers)" ]
		done
	done
	# what was killed before it started its container is swept by a later load, after a minute
	docker rm -f $(helpers) 2>/dev/null || true
	[ "$(docker exec "$NODE" sh -c 'ctr -n k8s.io images ls -q | grep -c sidelift.invalid')" = 0 ] || sleep 5
	other "$SIDELIFT" load -q --cluster kind/exporters exporters:dev
	[ "$(content_on_node /base)" = "$(sha256sum <"$BATS_TEST_TMPDIR/ctx/base")" ]
}

@test "without the helper's program the next way takes over" {
	cp "$SIDELIFT" "$BATS_TEST_TMPDIR/sidelift"
	chmod 755 "$BATS_TEST_TMPDIR"
	run --separate-stderr other "$BATS_TEST_TMPDIR/sidelift" load -v -o json --cluster kind/exporters exporters:dev
	[ "$status" = 0 ]
	[[ "$stderr" = *"exporter store is passed over: the program sidelift-helper is not installed"* ]]
	[ "$(jq -r .exporter <<<"$output")" = save ]
	[ "$(on_node)" = "$CONFIG" ]
}

@test "an unknown way is a usage error" {
	run --separate-stderr "$SIDELIFT" load --exporter magic exporters:dev
	[ "$status" = 2 ]
	[[ "$stderr" = *"--exporter is store, registry or save, not 'magic'"* ]]
}
