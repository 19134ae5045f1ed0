/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/registry_identity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"

#define IDENTITY "registry"
#define NOTE "pushing-"
/* Below the ports that the kernel gives away by itself. */
#define PORT_FIRST 20000
#define PORT_LAST 32000

/* The directory with @file behind it. */
static char *state_path(const char *file)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	char *path = NULL;
	int n = state && *state == '/' ? asprintf(&path, "%s/sidelift/%s", state, file) :
		home && *home == '/' ? asprintf(&path, "%s/.local/state/sidelift/%s", home, file) : -1;
	return n < 0 ? NULL : path;
}

/* Make the directories above @path. */
static void make_parents(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
}

static bool parse(const char *text, struct sl_registry_identity *identity)
{
	return sscanf(text, "%d %64[0-9a-f]", &identity->port, identity->secret) == 2 && strlen(identity->secret) == 64 &&
	       identity->port >= PORT_FIRST && identity->port <= PORT_LAST;
}

/* 1, 0 when there is none that could be used, -1 when it is somebody else's. */
static int read_identity(const char *path, struct sl_registry_identity *identity, struct sl_error *err)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	text.max = 256;
	struct stat st;
	if (stat(path, &st) < 0)
		return 0;
	if (st.st_uid != geteuid())
		return sl_error_set(err, SL_FAILED, "%s belongs to another user", path);
	/* what others may read is no secret */
	return !(st.st_mode & 077) && sl_file_read(path, &text, NULL) == 0 && parse(text.data, identity);
}

/* A file of mode 0600 that is complete when it appears under @path; open, locked.
 * -1 with errno. */
static int create(const char *path, const char *text)
{
	static atomic_int count;
	sl_autofree char *temporary = NULL;
	if (asprintf(&temporary, "%s.%d-%d", path, (int)getpid(), atomic_fetch_add(&count, 1)) < 0) {
		temporary = NULL;
		errno = ENOMEM;
		return -1;
	}
	unlink(temporary);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && (flock(fd, LOCK_EX | LOCK_NB) < 0 || sl_write_all(fd, text, strlen(text), NULL) < 0 || rename(temporary, path) < 0)) {
		int saved = errno;
		unlink(temporary);
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int sl_registry_identity(struct sl_registry_identity *identity, struct sl_error *err)
{
	sl_autofree char *path = state_path(IDENTITY);
	if (!path)
		return sl_error_set(err, SL_FAILED, "neither XDG_STATE_HOME nor HOME says where its credential is kept");
	int rc = read_identity(path, identity, err);
	if (rc)
		return rc < 0 ? -1 : 0;
	unsigned char random[34];
	char text[96];
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return sl_error_errno(err, errno, "no random bytes");
	identity->port = PORT_FIRST + ((random[32] << 8) + random[33]) % (PORT_LAST - PORT_FIRST - SL_REGISTRY_PORTS);
	for (size_t i = 0; i < 32; i++)
		snprintf(identity->secret + 2 * i, 3, "%02x", random[i]);
	snprintf(text, sizeof(text), "%d %s\n", identity->port, identity->secret);
	make_parents(path);
	sl_autoclose int fd = create(path, text);
	if (fd < 0)
		return sl_error_errno(err, errno, "%s cannot be written", path);
	/* another process may have been faster */
	rc = read_identity(path, identity, err);
	return rc ? (rc < 0 ? -1 : 0) : sl_error_set(err, SL_FAILED, "%s cannot be read back", path);
}

/* ---- the journal ---- */

struct sl_journal_entry {
	char *path;
	int fd; /* locked while this process lives */
};

struct sl_journal_entry *sl_journal_note(const char *engine, const char *tag, struct sl_error *err)
{
	static atomic_int count;
	char name[64];
	sl_autofree char *text = NULL;
	struct sl_journal_entry *entry = calloc(1, sizeof(*entry));
	snprintf(name, sizeof(name), NOTE "%d-%d", (int)getpid(), atomic_fetch_add(&count, 1));
	if (!entry || !(entry->path = state_path(name)) || asprintf(&text, "%s\n%s\n", engine, tag) < 0) {
		text = NULL;
		if (entry)
			free(entry->path);
		free(entry);
		sl_error_nomem(err);
		return NULL;
	}
	make_parents(entry->path);
	entry->fd = create(entry->path, text);
	if (entry->fd < 0) {
		sl_error_errno(err, errno, "%s cannot be written", entry->path);
		free(entry->path);
		free(entry);
		return NULL;
	}
	return entry;
}

void sl_journal_strike(struct sl_journal_entry *entry, bool gone)
{
	if (!entry)
		return;
	if (gone)
		unlink(entry->path);
	close(entry->fd);
	free(entry->path);
	free(entry);
}

static void sweep_entry(const char *path, const char *engine, int (*remove)(void *ctx, const char *tag), void *ctx)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	text.max = 4096;
	sl_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || sl_file_read(path, &text, NULL) < 0)
		return;
	char *save = NULL, *theirs = strtok_r(text.data, "\n", &save), *tag = theirs ? strtok_r(NULL, "\n", &save) : NULL;
	if (tag && strcmp(theirs, engine) != 0)
		return; /* when that engine is in use again */
	if (!tag || remove(ctx, tag) == 0)
		unlink(path);
}

void sl_journal_sweep(const char *engine, int (*remove)(void *ctx, const char *tag), void *ctx)
{
	sl_autofree char *directory = state_path("");
	DIR *dir = directory ? opendir(directory) : NULL;
	const struct dirent *entry;
	while (dir && (entry = readdir(dir))) {
		sl_autofree char *path = strncmp(entry->d_name, NOTE, strlen(NOTE)) ? NULL : state_path(entry->d_name);
		if (path)
			sweep_entry(path, engine, remove, ctx);
	}
	if (dir)
		closedir(dir);
}
