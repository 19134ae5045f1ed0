#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# make deb: build/sidelift_VERSION_ARCHITECTURE.deb, for this Debian release: what
# `make install` installs below /usr, depending on the packages of the libraries that
# the program is linked with.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^#define SIDELIFT_VERSION "\(.*\)"/\1/p' include/sidelift.h)
architecture=$(dpkg --print-architecture)
root=build/deb
rm -rf "$root"
make --no-print-directory install DESTDIR="$PWD/$root" PREFIX=/usr >/dev/null
strip "$root/usr/bin/sidelift"
# where Debian's zsh looks
mkdir -p "$root/usr/share/zsh/vendor-completions"
mv "$root/usr/share/zsh/site-functions/_sidelift" "$root/usr/share/zsh/vendor-completions/"
rmdir "$root/usr/share/zsh/site-functions"
gzip -9n "$root/usr/share/man/man1/sidelift.1"
install -D -m 644 LICENSE "$root/usr/share/doc/sidelift/copyright"
install -D -m 644 NEWS "$root/usr/share/doc/sidelift/NEWS"

# package (>= version) of each library that is linked directly
depends=$(for library in $(objdump -p "$root/usr/bin/sidelift" | awk '$1 == "NEEDED" { print $2 }'); do
	file=$(ldconfig -p | awk -v l="$library" '$1 == l { print $NF; exit }')
	dpkg-query -S "$(readlink -f "$file")" "$file" 2>/dev/null | head -1 | cut -d: -f1 || true
done | sort -u | while read -r package; do
	printf '%s (>= %s)\n' "$package" "$(dpkg-query -W -f '${Version}' "$package" | sed 's/[-+~].*//')"
done | paste -sd, | sed 's/,/, /g')
mkdir -p "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<C
Package: sidelift
Version: $version
Architecture: $architecture
Maintainer: sidelift <sidelift@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends
Recommends: kubectl | kubernetes-client
Suggests: docker.io | docker-ce, podman
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
