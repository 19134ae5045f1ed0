#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make deb: build/sidelift_VERSION_ARCHITECTURE.deb, for this Debian release: what
# `make install` installs below /usr, the library included, depending on the packages of
# the libraries that the program is linked with.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^#define SIDELIFT_VERSION "\(.*\)"/\1/p' include/sidelift.h)
architecture=$(dpkg --print-architecture)
maintainer='sidelift <sidelift@localhost>'
root=build/deb
rm -rf "$root"
libdir=/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch)
make --no-print-directory install DESTDIR="$PWD/$root" PREFIX=/usr LIBDIR="$libdir" >/dev/null
strip --remove-section=.comment --remove-section=.note "$root/usr/bin/sidelift"
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root$libdir/libsidelift.so.0"
strip --strip-debug --enable-deterministic-archives "$root$libdir/libsidelift.a"
# where Debian's zsh looks
mkdir -p "$root/usr/share/zsh/vendor-completions"
mv "$root/usr/share/zsh/site-functions/_sidelift" "$root/usr/share/zsh/vendor-completions/"
rmdir "$root/usr/share/zsh/site-functions"
gzip -9n "$root"/usr/share/man/man?/sidelift.?
ln -s sidelift.1.gz "$root/usr/share/man/man1/kubectl-sidelift.1.gz"
doc=$root/usr/share/doc/sidelift
mkdir -p "$doc" "$root/usr/share/lintian/overrides"
gzip -9nc NEWS >"$doc/NEWS.gz"
printf 'sidelift (%s) unstable; urgency=low\n\n  * See NEWS.gz.\n\n -- %s  %s\n' "$version" "$maintainer" "$(date -R -r NEWS)" |
	gzip -9n >"$doc/changelog.gz"
cat >"$doc/copyright" <<'C'
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2026 the authors of sidelift
License: Apache-2.0
 On Debian systems the text of the license is in
 /usr/share/common-licenses/Apache-2.0.
C
cat >"$root/usr/share/lintian/overrides/sidelift" <<'C'
# it runs in a container of the engine's that has no library
sidelift: statically-linked-binary [usr/libexec/sidelift/sidelift-helper]
sidelift: embedded-library zlib [usr/libexec/sidelift/sidelift-helper]
# one package for all of it
sidelift: package-name-doesnt-match-sonames libsidelift0
C

# package (>= version) of each library that is linked directly
depends=$(for library in $(objdump -p "$root/usr/bin/sidelift" | awk '$1 == "NEEDED" { print $2 }'); do
	file=$(ldconfig -p | awk -v l="$library" '$1 == l { print $NF; exit }')
	dpkg-query -S "$(readlink -f "$file")" "$file" 2>/dev/null | head -1 | cut -d: -f1 || true
done | sort -u | while read -r package; do
	printf '%s (>= %s)\n' "$package" "$(dpkg-query -W -f '${Version}' "$package" | sed 's/[-+~].*//')"
done | paste -sd, | sed 's/,/, /g')
# what a program that is linked with the archive is linked with, too
develop=$(sed -n '/^build_libraries=(/,/)/p' scripts/install-deps.sh | grep -oE ':[a-z0-9-]+-dev' | cut -c2- | paste -sd, | sed 's/,/, /g')
mkdir -p "$root/DEBIAN"
echo 'activate-noawait ldconfig' >"$root/DEBIAN/triggers"
echo "libsidelift 0 sidelift (>= $version)" >"$root/DEBIAN/shlibs"
cat >"$root/DEBIAN/control" <<C
Package: sidelift
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends
Recommends: kubectl | kubernetes-client
Suggests: docker.io | docker-ce, podman, pkg-config, $develop
Section: admin
Priority: optional
Description: side-load local images into Minikube and Kind clusters
 Puts locally built images into every node of a local Kubernetes cluster,
 without a registry: only the layers that a node lacks, all nodes at once,
 confirmed by the node. Builds, applies and waits for the rollout in one
 command.
C
package=build/sidelift_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
rm -rf "$root"
echo "$package"
