/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/up_written.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/sha256.h"

#define HASHED_MAX ((off_t)64 << 20) /* of a larger file size and time have to do */
#define OWN_RUNS 2 /* in a row that change a file make it the command's own */
#define STATE_MAX (SL_SHA256_HEX + 40)

struct sl_written_file {
	char *full;
	char state[STATE_MAX]; /* what it was when the last run was over, or began; "" not there */
	bool by_run; /* one has changed it */
	unsigned runs; /* in a row, up to the last one, that have changed it */
	bool edit;   /* it ended the run before: not known whose it is */
	bool again;  /* the last run has changed it */
	bool seen;   /* it had changed when a run began */
};

struct sl_written_note {
	struct sl_root *root;
	char *path, *full;
	bool created, differs;
};

static void forget_notes(struct sl_written *written)
{
	for (size_t i = 0; i < written->n_notes; i++) {
		free(written->notes[i].path);
		free(written->notes[i].full);
	}
	free(written->notes);
	written->notes = NULL;
	written->n_notes = written->next = 0;
}

void sl_written_release(struct sl_written *written)
{
	for (size_t i = 0; i < written->n_files; i++)
		free(written->files[i].full);
	free(written->files);
	forget_notes(written);
	*written = (struct sl_written){ 0 };
}

static struct sl_written_file *find(const struct sl_written *written, const char *full)
{
	for (size_t i = 0; i < written->n_files; i++)
		if (!strcmp(written->files[i].full, full))
			return &written->files[i];
	return NULL;
}

static struct sl_written_file *add_file(struct sl_written *written, const char *full)
{
	struct sl_written_file *files = realloc(written->files, (written->n_files + 1) * sizeof(*files));
	char *copy = strdup(full);
	if (files)
		written->files = files;
	if (!files || !copy) {
		free(copy);
		return NULL;
	}
	files[written->n_files] = (struct sl_written_file){ .full = copy };
	return &files[written->n_files++];
}

static void add_note(struct sl_written *written, struct sl_root *root, const char *path, const char *full, bool created)
{
	for (size_t i = 0; i < written->n_notes; i++)
		if (written->notes[i].root == root && !strcmp(written->notes[i].full, full))
			return;
	struct sl_written_note *notes = realloc(written->notes, (written->n_notes + 1) * sizeof(*notes));
	if (!notes)
		return;
	written->notes = notes;
	notes[written->n_notes] = (struct sl_written_note){ .root = root, .path = strdup(path), .full = strdup(full), .created = created };
	if (notes[written->n_notes].path && notes[written->n_notes].full) {
		written->n_notes++;
		return;
	}
	free(notes[written->n_notes].path);
	free(notes[written->n_notes].full);
}

void sl_written_begin(struct sl_written *written)
{
	if (written->next)
		forget_notes(written);
}

bool sl_written_is_edit(struct sl_written *written, struct sl_root *root, const char *path, const char *full, bool created)
{
	bool noted = false;
	for (size_t i = 0; !noted && i < written->n_notes; i++)
		noted = !strcmp(written->notes[i].full, full);
	struct sl_written_file *file = find(written, full);
	if (written->ran && *path && !created && !noted && !(file && (file->by_run || file->edit))) {
		if (!file)
			file = add_file(written, full);
		if (file)
			file->edit = true;
		return true;
	}
	add_note(written, root, path, full, created);
	return false;
}

/* Its mode and content in a word; "" when it is not there. */
static void read_state(const char *full, char state[STATE_MAX])
{
	char chunk[65536];
	struct stat st;
	ssize_t n;
	state[0] = '\0';
	if (lstat(full, &st) < 0)
		return;
	snprintf(state, STATE_MAX, "%o %lld %lld", st.st_mode, S_ISREG(st.st_mode) ? (long long)st.st_size : 0,
		 S_ISREG(st.st_mode) && st.st_size > HASHED_MAX ? (long long)st.st_mtime : 0);
	if ((!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)) || st.st_size > HASHED_MAX)
		return;
	struct sl_sha256 *hash = sl_sha256_new();
	sl_autoclose int fd = S_ISREG(st.st_mode) ? open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
	if (hash && S_ISLNK(st.st_mode) && (n = readlink(full, chunk, sizeof(chunk))) > 0)
		sl_sha256_update(hash, chunk, (size_t)n);
	while (hash && fd >= 0 && (n = read(fd, chunk, sizeof(chunk))) > 0)
		sl_sha256_update(hash, chunk, (size_t)n);
	size_t len = strlen(state);
	if (hash && STATE_MAX - len > SL_SHA256_HEX) {
		char hex[SL_SHA256_HEX + 1];
		sl_sha256_final(hash, hex);
		snprintf(state + len, STATE_MAX - len, " %.32s", hex);
	}
	sl_sha256_free(hash);
}

void sl_written_see(struct sl_written *written, const char *full)
{
	struct sl_written_file *file = find(written, full);
	if (!file)
		file = add_file(written, full);
	if (!file)
		return;
	file->seen = true;
	read_state(full, file->state);
}

bool sl_written_is_as_left(const struct sl_written *written, const char *full)
{
	const struct sl_written_file *file = find(written, full);
	char state[STATE_MAX];
	if (!file || file->edit)
		return false;
	read_state(full, state);
	return !strcmp(file->state, state);
}

/* Whether what the note is of differs from what the run before left.  Of a whole tree
 * nobody can tell. */
static bool differs_from_last(const struct sl_written *written, const struct sl_written_note *note)
{
	const struct sl_written_file *file = find(written, note->full);
	char state[STATE_MAX];
	if (!*note->path)
		return true;
	if (file && file->runs >= OWN_RUNS)
		return false;
	read_state(note->full, state);
	return file ? strcmp(file->state, state) != 0 : *state && (written->ran || !note->created);
}

/* What this run has written is known from now on; what ended the run before and was not
 * written again was an edit. */
static void learn(struct sl_written *written)
{
	for (size_t i = 0; i < written->n_notes; i++) {
		struct sl_written_file *file = find(written, written->notes[i].full);
		if (!file)
			file = add_file(written, written->notes[i].full);
		if (!file)
			continue;
		file->by_run = file->again = true;
		if (!written->ran && written->notes[i].created)
			file->runs = OWN_RUNS;
		read_state(file->full, file->state);
	}
	size_t kept = 0;
	for (size_t i = 0; i < written->n_files; i++) {
		struct sl_written_file *file = &written->files[i];
		file->runs = file->again ? file->runs + 1 : 0;
		file->edit = file->again = false;
		if (!file->by_run && !file->seen)
			free(file->full);
		else
			written->files[kept++] = *file;
	}
	written->n_files = kept;
}

void sl_written_compare(struct sl_written *written)
{
	bool differs = false;
	for (size_t i = 0; i < written->n_notes; i++) {
		written->notes[i].differs = differs_from_last(written, &written->notes[i]);
		differs = differs || written->notes[i].differs;
	}
	learn(written);
	for (size_t i = 0; differs && written->again && !written->warned && i < written->n_notes; i++) {
		if (!written->notes[i].differs)
			continue;
		sl_warn("a build command writes '%s' anew each time where changes are watched; a line for it in .dockerignore saves rounds",
			written->notes[i].full);
		written->warned = true;
	}
	written->again = differs && !written->again;
	written->ran = true;
	written->next = 1;
}

bool sl_written_next(struct sl_written *written, struct sl_written_change *out)
{
	while (written->next && written->next <= written->n_notes) {
		const struct sl_written_note *note = &written->notes[written->next++ - 1];
		if (!note->differs)
			continue;
		*out = (struct sl_written_change){ note->root, note->path, note->full, written->again };
		return true;
	}
	return false;
}
