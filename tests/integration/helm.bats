#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Behind the real Helm, as a filter and as its post-renderer, and behind kustomize.

load helpers/common

setup_file() {
	. "$ROOT/tests/bed/lib.sh"
	"$ROOT/tests/bed/build.sh" helm 2>/dev/null
	export PATH=$BED_CACHE/bin:$PATH HELM_CACHE_HOME=$BATS_FILE_TMPDIR/cache HELM_CONFIG_HOME=$BATS_FILE_TMPDIR/config HELM_DATA_HOME=$BATS_FILE_TMPDIR/data
	cd "$BATS_FILE_TMPDIR"
	helm create app >/dev/null
	sed -i 's/^  repository: .*/  repository: helm-app/; s/^  tag: .*/  tag: dev/' app/values.yaml
	large_chart
	KUBECONFIG=$("$ROOT/tests/bed/nodes-only.sh" helm-nodes bookworm 2>/dev/null)
	export KUBECONFIG
	printf 'FROM scratch\nENV A=1\n' | docker build -q -t helm-app:dev - >/dev/null 2>&1
	"$SIDELIFT" load -q helm-app:dev
}

# A chart with hooks, a CRD, two subcharts, init containers, Windows' line ends, and
# comments and blank lines where Helm leaves them.
large_chart() {
	helm create large >/dev/null
	rm -r large/templates/tests
	helm create large/charts/near >/dev/null
	helm create large/charts/far >/dev/null
	sed -i 's/^  repository: .*/  repository: helm-app/; s/^  tag: .*/  tag: dev/' large/values.yaml large/charts/near/values.yaml
	mkdir large/crds
	cat >large/crds/crd.yaml <<-'Y'
	apiVersion: apiextensions.k8s.io/v1
	kind: CustomResourceDefinition
	metadata: {name: things.example.com}
	spec:
	  group: example.com
	  names: {kind: Thing, plural: things}
	  scope: Namespaced
	  versions:
	  - name: v1
	    served: true
	    storage: true
	    schema:
	      openAPIV3Schema:
	        type: object
	        properties:
	          containers: {type: array, items: {type: object, properties: {image: {type: string}}}, default: [{image: "helm-app:dev"}]}
	Y
	cat >large/templates/hook.yaml <<-'Y'
	{{- range $when := list "pre-install" "post-upgrade" }}
	---
	apiVersion: batch/v1
	kind: Job
	metadata:
	  name: {{ $.Release.Name }}-{{ $when }}
	  annotations:
	    "helm.sh/hook": {{ $when }}
	spec:
	  template:
	    spec:
	      restartPolicy: Never
	      initContainers: [{name: wait, image: busybox}, {name: migrate, image: "helm-app:dev"}]
	      containers:
	      - name: last # of all
	        image: helm-app:dev
	{{- end }}
	Y
	cat >large/templates/more.yaml <<-'Y'
	{{- /* a comment of Helm's */ -}}
	# and one of YAML's
	apiVersion: v1
	kind: List
	items:
	- apiVersion: v1
	  kind: Pod
	  metadata: {name: {{ .Release.Name }}-more}
	  spec:
	    containers:
	    {{- range $i, $name := list "a" "b" }}

	    - image: {{ ternary "helm-app:dev" "other:dev" (eq $i 0) | quote }}
	      name: {{ $name }}
	    {{- end }}
	---
	{{ dict "apiVersion" "v1" "kind" "Pod" "metadata" (dict "name" "json") "spec" (dict "containers" (list (dict "name" "a" "image" "helm-app:dev"))) | toJson }}
	Y
	printf 'apiVersion: v1\r\nkind: Pod\r\nmetadata: {name: windows}\r\nspec:\r\n  containers:\r\n  - name: a\r\n    image: helm-app:dev\r\n' >large/templates/windows.yaml
}

teardown_file() {
	"$ROOT/tests/bed/down.sh" helm-nodes
	docker rmi -f helm-app:dev >/dev/null 2>&1 || true
}

setup() { cd "$BATS_FILE_TMPDIR"; }

# The options behind `helm upgrade` in the man page's example.
documented() { sed -n 's/^\.Dl helm upgrade .*\(--post-renderer sidelift .*\)$/\1/p' "$ROOT/docs/sidelift.1"; }

# "IMAGE POLICY" of each container that kubectl reads, sorted.
policies() {
	kubectl label --local -f "$1" -o json x=y | jq -r 'select(.kind != "CustomResourceDefinition") | .. | objects | (.containers, .initContainers) // empty
		| arrays[] | select(.image) | "\(.image) \(.imagePullPolicy)"' | sort | uniq -c | sed 's/^ *//'
}

@test "rendered charts behind the filter: the side-loaded image in all of its containers, and nothing else" {
	for chart in app large; do
		helm template x $chart --include-crds >plain.yaml
		run --separate-stderr "$SIDELIFT" rewrite plain.yaml
		[ "$status" = 0 ]
		helm template x $chart --include-crds | "$SIDELIFT" rewrite - >piped.yaml
		[ "$(cat piped.yaml)" = "$output" ]
		diff <(policies plain.yaml | awk '$2 == "helm-app:dev" { n += $1 } END { print n }') <(policies piped.yaml | awk '$2 == "helm-app:dev" { print $1 }')
		diff <(policies plain.yaml | grep -v helm-app) <(policies piped.yaml | grep -v helm-app)
		[ "$(policies piped.yaml | awk '$2 == "helm-app:dev" { print $3 }')" = Never ]
		# what was there and is there no more: policies
		[ -z "$(diff plain.yaml piped.yaml | sed -n 's/^< *//p' | grep -v '^imagePullPolicy: IfNotPresent.\?$' | grep -v '^{"apiVersion"\|^ *initContainers: ')" ]
	done
	[ "$(policies piped.yaml | awk '$2 == "helm-app:dev" { print $1 }')" = 9 ]
}

@test "as Helm's post-renderer, as the man page has it, it makes what the filter makes" {
	[ -n "$(documented)" ]
	PATH=$(dirname "$SIDELIFT"):$PATH
	helm template x app | sidelift rewrite - >piped.yaml
	helm template x app $(documented) >rendered.yaml
	cmp piped.yaml rendered.yaml
	grep -q 'imagePullPolicy: Never' rendered.yaml
}

@test "a script of one line is a post-renderer, too" {
	printf '#!/bin/sh\nexec "%s" rewrite --image helm-app:dev -\n' "$SIDELIFT" >renderer
	chmod +x renderer
	helm template x app | "$SIDELIFT" rewrite --image helm-app:dev - >piped.yaml
	helm template x app --post-renderer ./renderer >rendered.yaml
	cmp piped.yaml rendered.yaml
}

@test "only hooks and the folder crds, which Helm hands to no post-renderer, stay as they were" {
	PATH=$(dirname "$SIDELIFT"):$PATH
	helm template x large --include-crds --no-hooks | sidelift rewrite - >piped.yaml
	helm template x large --include-crds --no-hooks $(documented) >rendered.yaml
	cmp piped.yaml rendered.yaml
	helm template x large $(documented) >hooked.yaml
	[ "$(policies hooked.yaml | grep helm-app)" = "$(printf '%s\n' '5 helm-app:dev Never' '4 helm-app:dev null')" ]
}

@test "when it fails, Helm fails, and says why" {
	PATH=$(dirname "$SIDELIFT"):$PATH
	run env SIDELIFT_KUBE_CONTEXT=nonexistent helm template x app $(documented)
	[ "$status" = 1 ]
	[[ "$output" == *"no --image, and which images were side-loaded is not known"* ]]
	[[ "$output" != *"kind: Deployment"* ]]
}

@test "a template that was not rendered is refused, and what renders it is named" {
	run --separate-stderr "$SIDELIFT" rewrite app/templates/service.yaml
	[ "$status" = 1 ]
	[ -z "$output" ]
	[[ "$stderr" == "sidelift: app/templates/service.yaml:4:"*"helm template"* ]]
}

@test "behind kustomize: names and tags that it changes are what counts" {
	mkdir -p base overlay
	printf 'resources: [app.yaml]\n' >base/kustomization.yaml
	cat >base/app.yaml <<-'Y'
	apiVersion: apps/v1
	kind: Deployment
	metadata: {name: web}
	spec:
	  selector: {matchLabels: {a: b}}
	  template:
	    metadata: {labels: {a: b}}
	    spec:
	      containers:
	      - {name: web, image: web}
	      - {name: side, image: "helm-app:old"}
	Y
	printf 'resources: [../base]\nimages:\n- {name: web, newName: helm-app, newTag: dev}\nnamePrefix: my-\nconfigMapGenerator:\n- {name: c, literals: ["containers=- image: helm-app:dev"]}\n' >overlay/kustomization.yaml
	kubectl kustomize overlay >plain.yaml
	kubectl kustomize overlay | "$SIDELIFT" rewrite - >piped.yaml
	[ "$(policies piped.yaml)" = "$(printf '%s\n' '1 helm-app:dev Never' '1 helm-app:old null')" ]
	[ "$(diff plain.yaml piped.yaml | grep '^[<>]')" = ">         imagePullPolicy: Never" ]
}
