/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

int sl_file_read(const char *path, struct sl_buf *buf, struct sl_error *err)
{
	bool standard = !strcmp(path, "-");
	sl_autoclose int opened = standard ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	int fd = standard ? STDIN_FILENO : opened;
	if (fd < 0) {
		sl_error_errno(err, errno, "%s", path);
		if (errno == ENOENT && err)
			err->status = SL_NOT_FOUND;
		return -1;
	}
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return sl_error_set(err, SL_FAILED, "%s: is a directory, not a file", path);
	char chunk[65536];
	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sl_error_errno(err, errno, "%s", standard ? "standard input" : path);
		if (n == 0)
			return sl_buf_add(buf, "", 0) < 0 ? sl_error_nomem(err) : 0;
		if (sl_buf_add(buf, chunk, (size_t)n) < 0)
			return sl_error_set(err, SL_FAILED, "%s: larger than the %zu MiB that are read at most",
					    standard ? "standard input" : path,
					    (buf->max ? buf->max : SL_BUF_MAX) >> 20);
	}
}

int sl_write_all(int fd, const void *data, size_t len, struct sl_error *err)
{
	const char *p = data;
	while (len) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return sl_error_errno(err, errno, "write");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_beside(int fd, const struct stat *like, const void *data, size_t len, struct sl_error *err)
{
	if (sl_write_all(fd, data, len, err) < 0)
		return -1;
	/* the owner first: chown clears the set-id bits */
	if (fchown(fd, like->st_uid, like->st_gid) < 0 && errno != EPERM)
		return sl_error_errno(err, errno, "chown");
	if (fchmod(fd, like->st_mode & 07777) < 0)
		return sl_error_errno(err, errno, "chmod");
	if (fsync(fd) < 0)
		return sl_error_errno(err, errno, "fsync");
	return 0;
}

int sl_file_replace(const char *path, const void *data, size_t len, struct sl_error *err)
{
	sl_autofree char *target = realpath(path, NULL);
	struct stat st;
	if (!target || stat(target, &st) < 0)
		return sl_error_errno(err, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return sl_error_set(err, SL_FAILED, "%s: not a regular file", path);
	sl_autofree char *temp = NULL;
	if (asprintf(&temp, "%s.sidelift-XXXXXX", target) < 0) {
		temp = NULL;
		return sl_error_nomem(err);
	}
	int fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return sl_error_errno(err, errno, "%s: cannot write beside it", path);
	int failed = write_beside(fd, &st, data, len, err);
	if (close(fd) < 0 && !failed)
		failed = sl_error_errno(err, errno, "close");
	if (!failed && rename(temp, target) < 0)
		failed = sl_error_errno(err, errno, "rename");
	if (failed) {
		unlink(temp);
		return sl_error_wrap(err, "%s", path);
	}
	return 0;
}
