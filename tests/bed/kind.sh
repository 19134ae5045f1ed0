#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# kind.sh ARGUMENT...: the real kind, on a machine where docker exec --privileged
# cannot work (shim/docker).
set -euo pipefail
# shellcheck source=tests/bed/lib.sh
. "$(dirname "$0")/lib.sh"
PATH=$BED/shim:$PATH exec "$BED_CACHE/bin/kind" "$@"
