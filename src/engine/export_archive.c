/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "engine/export_tar.h"

/*
 * The archive exporter: a file, or what comes through standard input.  A file is
 * read twice, the first time seeking from header to header; a pipe once.
 */

#define READ_SIZE ((size_t)256 << 10)
/* A pipe may be silent while `docker save` spools. */
#define PIPE_SILENCE 600000

struct archive {
	struct sl_export_tar tar; /* first */
	char *path;
	int fd;
	bool close_fd, seekable;
	int64_t size; /* when seekable */
	char *buffer;
	const struct sl_cancel *cancel;
};

static ssize_t read_file(void *ctx, const void **data, struct sl_error *err)
{
	struct archive *archive = ctx;
	for (;;) {
		if (sl_wait_fd(archive->fd, POLLIN, archive->cancel, sl_now() + PIPE_SILENCE, err) < 0)
			return -1;
		ssize_t n = read(archive->fd, archive->buffer, READ_SIZE);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return sl_error_errno(err, errno, "%s", archive->path);
		*data = archive->buffer;
		return n;
	}
}

static int64_t skip_file(void *ctx, int64_t n)
{
	struct archive *archive = ctx;
	off_t at = lseek(archive->fd, 0, SEEK_CUR);
	/* never behind the end, where a cut-off archive would look whole */
	if (!archive->seekable || at < 0 || at + n > archive->size)
		return 0;
	return lseek(archive->fd, n, SEEK_CUR) < 0 ? 0 : n;
}

static void archive_free(struct sl_exporter *exporter)
{
	struct archive *archive = (struct archive *)exporter;
	sl_export_tar_release(&archive->tar);
	if (archive->close_fd)
		close(archive->fd);
	free(archive->buffer);
	free(archive->path);
	free(archive);
}

static const struct sl_exporter_ops archive_ops = {
	.name = "archive",
	.next = sl_export_tar_next,
	.data = sl_export_tar_data,
	.finish = sl_export_tar_finish,
	.free = archive_free,
};

static int open_file(struct archive *archive, const char *path, struct sl_error *err)
{
	bool standard = !strcmp(path, "-");
	archive->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (archive->fd < 0)
		return sl_error_errno(err, errno, "%s", path);
	archive->close_fd = !standard;
	struct stat st;
	if (fstat(archive->fd, &st) < 0)
		return sl_error_errno(err, errno, "%s", path);
	if (S_ISDIR(st.st_mode))
		return sl_error_set(err, SL_FAILED, "%s: is a directory; an archive is made by docker save -o FILE", path);
	if (standard && isatty(archive->fd))
		return sl_error_set(err, SL_USAGE, "-i - reads an archive from standard input, which is a terminal; pipe docker save into it");
	archive->seekable = S_ISREG(st.st_mode) && lseek(archive->fd, 0, SEEK_SET) == 0;
	archive->size = st.st_size;
	return 0;
}

struct sl_exporter *sl_exporter_archive(const char *path, const char *architecture, struct sl_image *images, size_t n,
					const struct sl_cancel *cancel, struct sl_error *err)
{
	struct archive *archive = calloc(1, sizeof(*archive));
	if (!archive) {
		sl_error_nomem(err);
		return NULL;
	}
	archive->tar.exporter.ops = &archive_ops;
	archive->tar.architecture = architecture;
	archive->cancel = cancel;
	archive->path = strdup(strcmp(path, "-") ? path : "standard input");
	archive->buffer = malloc(READ_SIZE);
	const struct sl_source source = { .read = read_file, .skip = skip_file, .ctx = archive };
	if (!archive->path || !archive->buffer) {
		sl_error_nomem(err);
		goto fail;
	}
	if (sl_export_tar_init(&archive->tar, images, n, err) < 0 || open_file(archive, path, err) < 0)
		goto fail;
	if (sl_export_tar_start(&archive->tar, &source, err) < 0)
		goto fail_named;
	if (!archive->seekable) {
		sl_info("%s is a pipe: it is read once, so every layer goes to every node", archive->path);
		return &archive->tar.exporter;
	}
	if (sl_export_tar_scan(&archive->tar, err) < 0)
		goto fail_named;
	if (lseek(archive->fd, 0, SEEK_SET) < 0) {
		sl_error_errno(err, errno, "%s", path);
		goto fail;
	}
	if (sl_export_tar_start(&archive->tar, &source, err) == 0)
		return &archive->tar.exporter;
fail_named:
	sl_error_wrap(err, "%s", archive->path);
fail:
	if (!images)
		sl_export_tar_drop_images(&archive->tar);
	archive_free(&archive->tar.exporter);
	return NULL;
}
