/* SPDX-License-Identifier: Apache-2.0 */
#include "image/overlay.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/cleanup.h"
#include "image/overlay_paths.h"

#define WHITEOUT ".wh."
#define OPAQUE ".wh..wh..opq"
/* The names of parents that the layer does not mention: at most this much. */
#define IMPLIED_MAX ((size_t)1 << 20)

/* What an entry says beside its name, type and content; kept for directories,
 * which may have to be written once more. */
struct meta {
	int64_t uid, gid, mtime;
	uint32_t nsec, mode;
	bool opaque;
	uint64_t hash; /* of all that, and of the attributes */
};

struct overlay {
	const struct sl_source *layer;
	struct sl_error source_error;
	bool source_failed, source_ended;
	bool closing, sink_failed; /* nothing more for the sink */
	int (*sink)(void *ctx, const void *data, size_t len);
	void *sink_ctx;
	struct archive *in, *out;
	struct archive_entry *entry; /* being written */
	struct sl_paths paths;
	struct sl_buf implied;       /* paths, each closed by a NUL */
	char parent[SL_PATH_LEN];    /* the last one that is known to be there */
	bool parent_known;
	bool first;
	struct sl_error *why;
};

/* ---- the two archives ---- */

static la_ssize_t pull(struct archive *archive, void *ctx, const void **data)
{
	struct overlay *self = ctx;
	ssize_t n = self->layer->read(self->layer->ctx, data, &self->source_error);
	if (n < 0) {
		self->source_failed = true;
		archive_set_error(archive, EIO, "source");
		return ARCHIVE_FATAL;
	}
	self->source_ended = n == 0;
	return n;
}

static la_ssize_t push(struct archive *archive, void *ctx, const void *data, size_t len)
{
	struct overlay *self = ctx;
	/* told to libarchive, a failure makes it forget to free what it has */
	if (!self->closing && !self->sink_failed)
		self->sink_failed = self->sink(self->sink_ctx, data, len) < 0;
	return (la_ssize_t)len;
}

static int write_data(struct overlay *self, const void *data, size_t len)
{
	return archive_write_data(self->out, data, len) != (la_ssize_t)len || self->sink_failed ? -1 : 0;
}

static int open_archives(struct overlay *self)
{
	self->in = archive_read_new();
	self->out = archive_write_new();
	self->entry = archive_entry_new();
	if (!self->in || !self->out || !self->entry)
		return -1;
	archive_read_support_format_tar(self->in);
	archive_read_support_format_empty(self->in);
	/* attributes as GNU tar and Go read them; each run goes to the sink as it is */
	return archive_write_set_format_pax(self->out) != ARCHIVE_OK ||
	       archive_write_set_format_option(self->out, "pax", "xattrheader", "SCHILY") != ARCHIVE_OK ||
	       archive_write_set_bytes_per_block(self->out, 0) != ARCHIVE_OK ||
	       archive_write_open(self->out, self, NULL, push, NULL) != ARCHIVE_OK ? -1 : 0;
}

static void close_archives(struct overlay *self)
{
	self->closing = true;
	archive_read_free(self->in);
	archive_entry_free(self->entry);
	archive_write_free(self->out);
}

static int not_mastered(struct overlay *self, const char *path, const char *what)
{
	sl_error_set(self->why, SL_FAILED, "'%s' %s", path, what);
	return 1;
}

static int too_much(struct overlay *self, const char *path)
{
	return not_mastered(self, path, "is too long, or one too many");
}

/* ---- metadata ---- */

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *p = data;
	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3u;
	return hash;
}

/* As containerd's boundTime. */
static int64_t bound_time(int64_t seconds)
{
	return seconds < 0 || seconds >= INT64_MAX / 1000000000 ? 0 : seconds;
}

enum attribute { DROPPED, SET, UNKNOWN };

/* containerd ignores trusted attributes and what the kernel has no handler for;
 * GNU tar keeps to itself what it has options of its own for. */
static enum attribute judge_attribute(const char *name, mode_t type)
{
	if (!strncmp(name, "user.", 5))
		return type == AE_IFREG || type == AE_IFDIR ? SET : UNKNOWN;
	if (!strcmp(name, "security.capability"))
		return SET;
	return !strncmp(name, "security.", 9) || !strncmp(name, "system.", 7) ? UNKNOWN : DROPPED;
}

/* Copy the attributes of @from that are set, and mix them into @hash.  1 when one
 * is not mastered. */
static int copy_attributes(struct overlay *self, struct archive_entry *from, mode_t type, uint64_t *hash)
{
	const char *name;
	const void *value;
	size_t len;
	archive_entry_xattr_reset(from);
	while (archive_entry_xattr_next(from, &name, &value, &len) == ARCHIVE_OK) {
		enum attribute verdict = judge_attribute(name, type);
		if (verdict == UNKNOWN)
			return not_mastered(self, archive_entry_pathname(from), "has an attribute that only containerd knows how to set");
		if (verdict == DROPPED)
			continue;
		archive_entry_xattr_add_entry(self->entry, name, value, len);
		/* their order does not matter */
		*hash += mix(mix(0xcbf29ce484222325u, name, strlen(name) + 1), value, len);
	}
	return 0;
}

static void put_meta(struct archive_entry *entry, const struct meta *meta)
{
	archive_entry_set_uid(entry, meta->uid);
	archive_entry_set_gid(entry, meta->gid);
	archive_entry_set_mtime(entry, meta->mtime, (long)meta->nsec);
	archive_entry_set_perm(entry, meta->mode);
}

/* Begin the entry to be written as @from is, but for its name. */
static int begin_entry(struct overlay *self, struct archive_entry *from, mode_t type, struct meta *meta)
{
	*meta = (struct meta){ .uid = archive_entry_uid(from), .gid = archive_entry_gid(from),
			       .mode = archive_entry_perm(from) & 07777 };
	meta->mtime = bound_time(archive_entry_mtime(from));
	meta->nsec = meta->mtime ? (uint32_t)archive_entry_mtime_nsec(from) : 0;
	archive_entry_clear(self->entry);
	archive_entry_set_filetype(self->entry, type);
	put_meta(self->entry, meta);
	uint64_t attributes = 0;
	/* a link's own mode means nothing; numbers, for a struct has gaps of any content */
	const int64_t compared[] = { meta->uid, meta->gid, meta->mtime, meta->nsec, type == AE_IFLNK ? 0 : meta->mode };
	if (copy_attributes(self, from, type, &attributes))
		return 1;
	meta->hash = (mix(0xcbf29ce484222325u, compared, sizeof(compared)) + attributes) >> 3;
	return 0;
}

static int write_entry(struct overlay *self, const char *path)
{
	archive_entry_set_pathname(self->entry, path);
	return archive_write_header(self->out, self->entry) < ARCHIVE_WARN || self->sink_failed ? -1 : 0;
}

/* ---- parents ---- */

/* What mkdir gives to a directory in @path's parent: its group where that has the
 * set-group-ID bit. */
static int64_t inherited_group(struct overlay *self, const char *path)
{
	char parent[SL_PATH_LEN];
	struct meta meta;
	uint64_t at;
	const char *slash = strrchr(path, '/');
	if (!slash)
		return 0;
	memcpy(parent, path, (size_t)(slash - path));
	parent[slash - path] = '\0';
	if (sl_paths_get(&self->paths, parent, &at) != SL_MADE_DIRECTORY)
		return 0;
	memcpy(&meta, self->paths.arena.data + at, sizeof(meta));
	return meta.mode & 02000 ? meta.gid : 0;
}

static int write_implied(struct overlay *self, const char *path)
{
	const struct meta meta = { .mode = 0755, .mtime = time(NULL), .gid = inherited_group(self, path) };
	if (strchr(path, '\n') || self->implied.len + strlen(path) + 1 > IMPLIED_MAX)
		return too_much(self, path);
	if (sl_buf_add(&self->implied, path, strlen(path) + 1) < 0 || sl_paths_put(&self->paths, path, SL_MADE_IMPLIED, 0) < 0)
		return too_much(self, path);
	archive_entry_clear(self->entry);
	archive_entry_set_filetype(self->entry, AE_IFDIR);
	put_meta(self->entry, &meta);
	return write_entry(self, path);
}

/* Have the directory @parent, which is resolved, and all above it. */
static int need_parent(struct overlay *self, const char *parent)
{
	char path[SL_PATH_LEN];
	if (self->parent_known && !strcmp(parent, self->parent))
		return 0;
	for (size_t len = strcspn(parent, "/"); *parent;) {
		memcpy(path, parent, len);
		path[len] = '\0';
		enum sl_made made = sl_paths_get(&self->paths, path, NULL);
		int rc = 0;
		if (made == SL_MADE_NOTHING)
			rc = write_implied(self, path);
		else if (made != SL_MADE_DIRECTORY && made != SL_MADE_IMPLIED)
			rc = not_mastered(self, path, "is no directory, but something is in it");
		if (rc)
			return rc;
		if (!parent[len])
			break;
		len += 1 + strcspn(parent + len + 1, "/");
	}
	strcpy(self->parent, parent);
	return self->parent_known = true, 0;
}

/* @name where it really is: its parent, which is made, and its own last part.
 * *base is in @path; "" for the root. */
static int place(struct overlay *self, const char *name, char path[SL_PATH_LEN], char **base)
{
	char clean[SL_PATH_LEN];
	if (!name || sl_paths_clean(name, clean) < 0)
		return too_much(self, name ? name : "");
	char *slash = strrchr(clean, '/');
	if (slash)
		*slash = '\0';
	const char *last = slash ? slash + 1 : clean;
	if (sl_paths_resolve(&self->paths, slash ? clean : "", path) < 0)
		return too_much(self, name);
	size_t len = strlen(path);
	if (len + 1 + strlen(last) >= SL_PATH_LEN)
		return too_much(self, name);
	if (*last) {
		int rc = need_parent(self, path);
		if (rc)
			return rc;
	}
	if (len)
		path[len++] = '/';
	*base = strcpy(path + len, last);
	return 0;
}

/* ---- whiteouts ---- */

static int write_whiteout(struct overlay *self, struct archive_entry *from, const char *path)
{
	struct meta meta;
	if (sl_paths_get(&self->paths, path, NULL) != SL_MADE_NOTHING)
		return not_mastered(self, path, "is made and removed by the same layer");
	if (self->first)
		return 0;
	int rc = begin_entry(self, from, AE_IFREG, &meta);
	if (rc)
		return rc;
	archive_entry_clear(self->entry);
	archive_entry_set_filetype(self->entry, AE_IFCHR);
	meta.mode = 0;
	put_meta(self->entry, &meta);
	return sl_paths_put(&self->paths, path, SL_MADE_WHITEOUT, 0) < 0 ? too_much(self, path) : write_entry(self, path);
}

static void add_opaque(struct overlay *self)
{
	archive_entry_xattr_add_entry(self->entry, "trusted.overlay.opaque", "y", 1);
}

/* Was directory @path made opaque before? */
static bool is_opaque(struct overlay *self, const char *path)
{
	uint64_t value = 0;
	struct meta meta;
	enum sl_made there = sl_paths_get(&self->paths, path, &value);
	if (there != SL_MADE_DIRECTORY)
		return there == SL_MADE_IMPLIED && value;
	memcpy(&meta, self->paths.arena.data + value, sizeof(meta));
	return meta.opaque;
}

/* Write directory @path, which is there already, once more and opaque. */
static int write_opaque(struct overlay *self, const char *path)
{
	uint64_t at = 0;
	struct meta meta = { .mode = 0755, .mtime = time(NULL) };
	if (!*path)
		return not_mastered(self, "/", "is opaque");
	if (self->first) /* containerd removes what the layer did not name */
		return self->implied.len ? not_mastered(self, path, "is opaque in the first layer") : 0;
	if (sl_paths_get(&self->paths, path, &at) == SL_MADE_DIRECTORY) {
		memcpy(&meta, self->paths.arena.data + at, sizeof(meta));
		meta.opaque = true;
		memcpy(self->paths.arena.data + at, &meta, sizeof(meta));
	} else {
		meta.gid = inherited_group(self, path);
		if (sl_paths_put(&self->paths, path, SL_MADE_IMPLIED, 1) < 0)
			return too_much(self, path);
	}
	archive_entry_clear(self->entry);
	archive_entry_set_filetype(self->entry, AE_IFDIR);
	put_meta(self->entry, &meta);
	add_opaque(self);
	return write_entry(self, path);
}

/* 2 when the entry is no whiteout. */
static int take_whiteout(struct overlay *self, struct archive_entry *from, char *path, char *base)
{
	if (strncmp(base, WHITEOUT, strlen(WHITEOUT)) != 0)
		return 2;
	if (!strcmp(base, OPAQUE)) {
		*(base > path ? base - 1 : base) = '\0';
		return write_opaque(self, path);
	}
	const char *hidden = base + strlen(WHITEOUT);
	if (!*hidden || !strcmp(hidden, ".") || !strcmp(hidden, "..") || !strncmp(hidden, WHITEOUT, strlen(WHITEOUT)))
		return not_mastered(self, path, "is no name for a whiteout");
	memmove(base, hidden, strlen(hidden) + 1);
	return write_whiteout(self, from, path);
}

/* ---- entries ---- */

/* GNU tar does not replace a directory, nor what stands in for a link that it
 * makes last. */
static int check_repeated(struct overlay *self, const char *path, mode_t type)
{
	enum sl_made there = sl_paths_get(&self->paths, path, NULL);
	bool directory = there == SL_MADE_DIRECTORY || there == SL_MADE_IMPLIED;
	if (there == SL_MADE_NOTHING)
		return 0;
	if (there == SL_MADE_SYMLINK || type == AE_IFLNK || (directory && type != AE_IFDIR))
		return not_mastered(self, path, "is in the layer twice, as different things");
	if (!directory)
		self->parent_known = false;
	return 0;
}

static int remember(struct overlay *self, const char *path, mode_t type, const struct meta *meta, const char *target)
{
	uint64_t value = meta->hash, ignored;
	enum sl_made made = type == AE_IFDIR ? SL_MADE_DIRECTORY : type == AE_IFLNK ? SL_MADE_SYMLINK : SL_MADE_OTHER;
	if (made == SL_MADE_DIRECTORY && sl_paths_keep(&self->paths, meta, sizeof(*meta), &value) < 0)
		return too_much(self, path);
	if (made == SL_MADE_SYMLINK && (sl_paths_keep(&self->paths, &meta->hash, sizeof(meta->hash), &value) < 0 ||
					sl_paths_keep(&self->paths, target, strlen(target) + 1, &ignored) < 0))
		return too_much(self, path);
	return sl_paths_put(&self->paths, path, made, value) < 0 ? too_much(self, path) : 0;
}

/* containerd gives the link's metadata to what it links; GNU tar does not, so they
 * must be the same. */
static int take_hard_link(struct overlay *self, struct archive_entry *from, const char *path)
{
	char target[SL_PATH_LEN], clean[SL_PATH_LEN];
	struct meta meta;
	uint64_t value = 0, expected;
	const char *written = archive_entry_hardlink(from);
	if (sl_paths_clean(written, clean) < 0)
		return too_much(self, path);
	char *slash = strrchr(clean, '/');
	if (slash)
		*slash = '\0';
	if (sl_paths_resolve(&self->paths, slash ? clean : "", target) < 0 ||
	    strlen(target) + strlen(slash ? slash + 1 : clean) + 2 > SL_PATH_LEN)
		return too_much(self, path);
	if (*target)
		strcat(target, "/");
	strcat(target, slash ? slash + 1 : clean);
	enum sl_made made = sl_paths_get(&self->paths, target, &value);
	if ((made != SL_MADE_OTHER && made != SL_MADE_SYMLINK) || !strcmp(target, path))
		return not_mastered(self, path, "links what the layer has not made before");
	int rc = begin_entry(self, from, made == SL_MADE_SYMLINK ? AE_IFLNK : AE_IFREG, &meta);
	if (rc || (rc = check_repeated(self, path, made == SL_MADE_SYMLINK ? AE_IFLNK : AE_IFREG)))
		return rc;
	expected = value;
	if (made == SL_MADE_SYMLINK)
		memcpy(&expected, self->paths.arena.data + value, sizeof(expected));
	if (expected != meta.hash || archive_entry_size(from) > 0)
		return not_mastered(self, path, "differs from what it links");
	if (sl_paths_put(&self->paths, path, made, value) < 0)
		return too_much(self, path);
	archive_entry_set_hardlink(self->entry, target);
	return write_entry(self, path);
}

static int write_zeros(struct overlay *self, int64_t n)
{
	static const char zeros[65536];
	for (; n > 0; n -= (int64_t)sizeof(zeros))
		if (write_data(self, zeros, n < (int64_t)sizeof(zeros) ? (size_t)n : sizeof(zeros)) < 0)
			return -1;
	return 0;
}

/* The content, its holes filled. */
static int copy_data(struct overlay *self, int64_t size)
{
	const void *data;
	size_t len;
	la_int64_t offset, at = 0;
	for (;;) {
		int rc = archive_read_data_block(self->in, &data, &len, &offset);
		if (rc == ARCHIVE_EOF)
			break;
		if (rc < ARCHIVE_WARN)
			return 1;
		if (write_zeros(self, offset - at) < 0 || (len && write_data(self, data, len) < 0))
			return -1;
		at = offset + (la_int64_t)len;
	}
	return write_zeros(self, size - at);
}

static bool has_type(mode_t type)
{
	return type == AE_IFREG || type == AE_IFDIR || type == AE_IFLNK || type == AE_IFCHR || type == AE_IFBLK || type == AE_IFIFO;
}

static int take_other(struct overlay *self, struct archive_entry *from, const char *path)
{
	mode_t type = archive_entry_filetype(from);
	const char *target = type == AE_IFLNK ? archive_entry_symlink(from) : NULL;
	struct meta meta;
	if (!has_type(type) || (type == AE_IFLNK && (!target || !*target)))
		return not_mastered(self, path, "is of a kind that no layer should have");
	int rc = check_repeated(self, path, type);
	if (rc || (rc = begin_entry(self, from, type, &meta)))
		return rc;
	meta.opaque = type == AE_IFDIR && is_opaque(self, path);
	if (meta.opaque)
		add_opaque(self); /* GNU tar takes it away otherwise */
	if ((rc = remember(self, path, type, &meta, target)))
		return rc;
	if (type == AE_IFREG)
		archive_entry_set_size(self->entry, archive_entry_size(from));
	if (type == AE_IFLNK)
		archive_entry_set_symlink(self->entry, target);
	if (type == AE_IFCHR || type == AE_IFBLK) {
		archive_entry_set_rdevmajor(self->entry, archive_entry_rdevmajor(from));
		archive_entry_set_rdevminor(self->entry, archive_entry_rdevminor(from));
	}
	if (write_entry(self, path) < 0)
		return -1;
	return type == AE_IFREG ? copy_data(self, archive_entry_size(from)) : 0;
}

static int take_entry(struct overlay *self, struct archive_entry *from)
{
	char path[SL_PATH_LEN], *base;
	/* a hole costs nothing here, but all of its size on the way */
	if (archive_entry_sparse_count(from) > 0 && archive_entry_size(from) > SL_OVERLAY_SPARSE_MAX)
		return not_mastered(self, archive_entry_pathname(from), "is a large file with holes");
	int rc = place(self, archive_entry_pathname(from), path, &base);
	if (rc || !*base)
		return rc; /* the root's own entry is ignored */
	rc = take_whiteout(self, from, path, base);
	if (rc != 2)
		return rc;
	return archive_entry_hardlink(from) ? take_hard_link(self, from, path) : take_other(self, from, path);
}

/* ---- the whole ---- */

static int take_entries(struct overlay *self)
{
	struct archive_entry *from;
	for (;;) {
		int rc = archive_read_next_header(self->in, &from);
		if (rc == ARCHIVE_EOF)
			return 0;
		rc = rc < ARCHIVE_WARN ? 1 : take_entry(self, from);
		if (rc)
			return rc;
	}
}

/* What follows the end of the archive belongs to the layer's digest. */
static int drain(struct overlay *self)
{
	const void *data;
	while (!self->source_ended && !self->source_failed)
		(void)!pull(self->in, self, &data);
	return self->source_failed ? -1 : 0;
}

/* Parents that were mentioned after all have a slash behind their names. */
static int write_marker(struct overlay *self, const char *marker)
{
	sl_autobuf struct sl_buf list = SL_BUF_INIT;
	const char *end = self->implied.data + self->implied.len;
	for (const char *name = self->implied.data; name && name < end; name += strlen(name) + 1)
		if (!self->first)
			sl_buf_printf(&list, "%s%s%c", name, sl_paths_get(&self->paths, name, NULL) == SL_MADE_IMPLIED ? "" : "/", 0);
	const struct meta meta = { .mode = 0600 };
	archive_entry_clear(self->entry);
	archive_entry_set_filetype(self->entry, AE_IFREG);
	archive_entry_set_size(self->entry, (la_int64_t)list.len);
	put_meta(self->entry, &meta);
	if (list.failed || write_entry(self, marker) < 0 || (list.len && write_data(self, list.data, list.len) < 0))
		return -1;
	return archive_write_close(self->out) < ARCHIVE_WARN || self->sink_failed ? -1 : 0;
}

static int convert(struct overlay *self, const char *marker)
{
	if (sl_paths_init(&self->paths) < 0 || open_archives(self) < 0)
		return sl_error_nomem(self->why);
	int rc = 0;
	if (archive_read_open(self->in, self, NULL, pull, NULL) != ARCHIVE_OK)
		rc = self->source_ended ? 0 : 1;
	else
		rc = take_entries(self);
	if (rc == 1 && !self->why->message[0])
		sl_error_set(self->why, SL_FAILED, "it is no tar that libarchive can read");
	if (rc == 0)
		rc = drain(self);
	if (self->source_failed) {
		*self->why = self->source_error;
		return -1;
	}
	return rc ? rc : write_marker(self, marker);
}

int sl_overlay_convert(const struct sl_source *layer, bool first, const char *marker,
		       int (*sink)(void *ctx, const void *data, size_t len), void *ctx, struct sl_error *err)
{
	struct sl_error why = SL_ERROR_INIT;
	struct overlay self = { .layer = layer, .sink = sink, .sink_ctx = ctx, .first = first, .why = &why };
	int rc = convert(&self, marker);
	close_archives(&self);
	sl_paths_release(&self.paths);
	sl_buf_release(&self.implied);
	if (rc && why.message[0] && err)
		*err = why;
	return rc;
}
