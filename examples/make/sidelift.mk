# SPDX-License-Identifier: Apache-2.0
# Include this in your Makefile, after:
#   IMAGE     := app:dev        what is built
#   CONTEXT   := .              its directory           (default: .)
#   MANIFESTS := k8s            -f: a file or directory (default: k8s)
# and `make up` builds, loads, applies and waits; `make watch` does so at each change, until
# Ctrl-C; `make load` builds and loads.
SIDELIFT ?= sidelift
CONTEXT ?= .
MANIFESTS ?= k8s

.PHONY: up watch load
up:
	$(SIDELIFT) up -f $(MANIFESTS) --build $(IMAGE)=$(CONTEXT) $(UPFLAGS)

watch:
	$(SIDELIFT) up --watch -f $(MANIFESTS) --build $(IMAGE)=$(CONTEXT) $(UPFLAGS)

load:
	docker build -t $(IMAGE) $(CONTEXT)
	$(SIDELIFT) load $(IMAGE)
