#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The man page and the help come from two hands: they must say the same.

load helpers/common

surface() { /usr/bin/python3 "$ROOT/tests/integration/helpers/surface.py" "$@"; }

@test "the man page lists the commands and options of the help, with their letters and values, and no others" {
	surface help "$SIDELIFT" >help
	surface man "$ROOT/docs/sidelift.1" >man
	[ "$(wc -l <help)" -ge 40 ]
	diff help man
}

@test "what the man page mentions is there, and its synopsis has every command" {
	surface help "$SIDELIFT" | awk 'NF == 1 { print $1; next } { for (i = 2; i <= NF; i++) if ($i != "value") print (length($i) == 1 ? "-" : "--") $i }' | sort -u >known
	surface mentions "$ROOT/docs/sidelift.1" >mentioned
	echo "unknown: $(comm -13 known mentioned)"
	[ -z "$(comm -13 known mentioned)" ]
	[ "$(grep -v '^-' known)" = "$(grep -v '^-' mentioned)" ]
}

@test "README and the documents name no option that the program does not know" {
	local unknown
	surface help "$SIDELIFT" | awk '{ for (i = 2; i <= NF; i++) print $i }' | sort -u >known
	unknown=$(grep -hoE '(^|`|[^-a-z.])sidelift [^`|]*' "$ROOT/README.md" "$ROOT/docs/ERRORS.md" "$ROOT/docs/sidelift.1" | sed 's/ -- .*//; s/ --post-renderer-args//g' |
		grep -oE -- ' --[a-z][a-z-]+' | cut -c4- | sort -u | comm -23 - known)
	echo "unknown: $unknown"
	[ -z "$unknown" ]
}

setup() { cd "$BATS_TEST_TMPDIR"; }
