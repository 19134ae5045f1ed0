/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_IMAGE_OVERLAY_H
#define SL_IMAGE_OVERLAY_H

/*
 * A layer's tar made into one that GNU tar (-p --numeric-owner --xattrs
 * --delay-directory-restore, as root) unpacks into the upper directory of an
 * overlayfs snapshot, with what containerd's own unpacking (archive/tar.go,
 * tar_opts_linux.go) leaves there:
 *
 *	- `.wh.X` becomes a character device 0:0, `.wh..wh..opq` the attribute
 *	  trusted.overlay.opaque; in a layer without a parent they are nothing;
 *	- names are clean, and resolved through the links that the layer itself made:
 *	  nothing leads out of the directory;
 *	- parents that the layer does not mention come before what is in them;
 *	- trusted attributes, the root's own entry and what containerd does not set
 *	  are left out.
 *
 * What the two would do differently, or what containerd refuses, is not mastered
 * and said so.  Memory: image/overlay_paths.h.
 *
 * The last member is a file at the root, @marker, with the names of those parents,
 * each closed by a NUL: whoever finds it knows that nothing was cut off (GNU tar
 * ends well where a stream is cut between members), and gives the parents what the
 * layers below have there.  Of those that the layer mentions later, with a slash
 * behind their names, it is the attributes alone.
 */

#include "image/archive.h"

/* A file with holes larger than this is left to containerd; bytes. */
#define SL_OVERLAY_SPARSE_MAX ((int64_t)256 << 20)

/* Read @layer (an uncompressed tar) to its end and give the other one to @sink,
 * which returns 0, or -1 to stop.  The marker comes after the source's end, so a
 * source that checks its bytes and fails keeps it away.  @first: there is no layer
 * below.  0; 1 when the layer is not mastered, @err says why; -1 with @err when
 * the source failed, and with @err untouched when the sink did. */
int sl_overlay_convert(const struct sl_source *layer, bool first, const char *marker,
		       int (*sink)(void *ctx, const void *data, size_t len), void *ctx, struct sl_error *err) SL_MUST_CHECK;

#endif
