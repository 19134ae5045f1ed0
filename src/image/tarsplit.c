/* SPDX-License-Identifier: Apache-2.0 */
#include "image/tarsplit.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/cleanup.h"

/* One entry: headers and padding between two files, or the zeros behind the last;
 * a writer may pad generously, but not without end. */
#define LINE_MAX_BYTES ((size_t)64 << 20)
#define FILE_CHUNK ((size_t)256 << 10)

struct entry {
	bool file;
	const char *name; /* JSON text, quotes excluded; not terminated */
	size_t name_len;
	bool name_raw;    /* base64 instead */
	int64_t size;
	const char *payload;
	size_t payload_len;
};

struct sl_tarsplit {
	char *path;
	gzFile gz;
	struct sl_buf line;  /* read ahead, from `at` on not used yet */
	size_t at;
	bool ended;
	int root;            /* directory; -1: sizes only */
	int fd;              /* of the file at hand, or -1 */
	int64_t left;        /* of it */
	unsigned char *buffer;
	size_t buffer_size;
};

void sl_tarsplit_free(struct sl_tarsplit *split)
{
	if (!split)
		return;
	if (split->gz)
		gzclose(split->gz);
	if (split->root >= 0)
		close(split->root);
	if (split->fd >= 0)
		close(split->fd);
	sl_buf_release(&split->line);
	free(split->buffer);
	free(split->path);
	free(split);
}

struct sl_tarsplit *sl_tarsplit_open(const char *path, const char *root, struct sl_error *err)
{
	struct sl_tarsplit *split = calloc(1, sizeof(*split));
	if (!split) {
		sl_error_nomem(err);
		return NULL;
	}
	split->root = split->fd = -1;
	split->line.max = LINE_MAX_BYTES;
	split->buffer_size = FILE_CHUNK;
	split->buffer = malloc(split->buffer_size);
	split->path = strdup(path);
	if (!split->buffer || !split->path) {
		sl_error_nomem(err);
		goto fail;
	}
	split->gz = gzopen(path, "rbe");
	if (!split->gz) {
		sl_error_errno(err, errno, "%s", path);
		goto fail;
	}
	gzbuffer(split->gz, 65536);
	if (root && (split->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) {
		sl_error_errno(err, errno, "%s", root);
		goto fail;
	}
	return split;
fail:
	sl_tarsplit_free(split);
	return NULL;
}

/* The next line, terminated, valid until the next call; NULL at the end (no
 * error) or on failure. */
static char *next_line(struct sl_tarsplit *split, bool *failed, struct sl_error *err)
{
	char chunk[65536];
	for (;;) {
		char *from = split->line.data ? split->line.data + split->at : NULL;
		size_t len = split->line.len - split->at;
		char *newline = len ? memchr(from, '\n', len) : NULL;
		if (newline) {
			*newline = '\0';
			split->at += (size_t)(newline - from) + 1;
			return from;
		}
		if (split->ended)
			return NULL;
		sl_buf_drop(&split->line, split->at);
		split->at = 0;
		int n = gzread(split->gz, chunk, sizeof(chunk));
		int code = 0;
		const char *why = n <= 0 ? gzerror(split->gz, &code) : "";
		if (n < 0 || (n == 0 && code != Z_OK)) {
			*failed = true;
			sl_error_set(err, SL_FAILED, "%s: %s", split->path, why);
			return NULL;
		}
		split->ended = n == 0;
		if (sl_buf_add(&split->line, chunk, (size_t)n) < 0 || (split->ended && split->line.len && sl_buf_add(&split->line, "\n", 1) < 0)) {
			*failed = true;
			sl_error_set(err, SL_FAILED, "%s: an entry is larger than %zu MiB", split->path, LINE_MAX_BYTES >> 20);
			return NULL;
		}
	}
}

/* The field @name in @line, from its value's first character on; NULL when it is
 * not there.  Go writes the fields in a fixed order and nothing between them; a
 * name can hold a quote only behind a backslash, so none fakes a field. */
static const char *field(const char *line, const char *name)
{
	const char *at = strstr(line, name);
	return at ? at + strlen(name) : NULL;
}

static size_t string_length(const char *text)
{
	size_t n = 0;
	while (text[n] && text[n] != '"')
		n += text[n] == '\\' && text[n + 1] ? 2 : 1;
	return n;
}

static int parse(const struct sl_tarsplit *split, const char *line, struct entry *entry, struct sl_error *err)
{
	*entry = (struct entry){ 0 };
	const char *type = field(line, "{\"type\":");
	entry->file = type && *type == '1';
	if (!type || (!entry->file && *type != '2'))
		return sl_error_set(err, SL_FAILED, "%s: an entry is of unknown form", split->path);
	if (entry->file) {
		const char *name = field(line, ",\"name\":\"");
		if (!name && (name = field(line, ",\"name_raw\":\"")))
			entry->name_raw = true;
		if (name) {
			entry->name = name;
			entry->name_len = string_length(name);
			line = name + entry->name_len;
		}
		const char *size = field(line, "\",\"size\":");
		entry->size = size ? strtoll(size, NULL, 10) : 0;
		if (entry->size < 0 || (!name && field(line, "\"size\":")))
			return sl_error_set(err, SL_FAILED, "%s: a file has no name, or an impossible size", split->path);
		return 0;
	}
	const char *payload = field(line, ",\"payload\":\"");
	entry->payload = payload ? payload : "";
	entry->payload_len = strcspn(entry->payload, "\""); /* base64 has nothing that is escaped */
	return 0;
}

static size_t decoded_length(const char *text, size_t len)
{
	size_t padding = len && text[len - 1] == '=' ? len > 1 && text[len - 2] == '=' ? 2 : 1 : 0;
	return len / 4 * 3 - padding;
}

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static int decode(const char *text, size_t len, unsigned char *out)
{
	if (len % 4)
		return -1;
	size_t end = decoded_length(text, len), at = 0;
	for (size_t i = 0; i < len; i += 4) {
		unsigned bits = 0;
		for (int j = 0; j < 4; j++) {
			int value = text[i + j] == '=' && i + 4 == len && j > 1 ? 0 : digit(text[i + j]);
			if (value < 0)
				return -1;
			bits = bits << 6 | (unsigned)value;
		}
		for (int j = 0; j < 3 && at < end; j++)
			out[at++] = (unsigned char)(bits >> (16 - 8 * j));
	}
	return 0;
}

static ssize_t give_segment(struct sl_tarsplit *split, const struct entry *entry, const void **data, struct sl_error *err)
{
	size_t len = decoded_length(entry->payload, entry->payload_len);
	if (len > split->buffer_size) {
		unsigned char *bigger = realloc(split->buffer, len);
		if (!bigger)
			return sl_error_nomem(err);
		split->buffer = bigger;
		split->buffer_size = len;
	}
	if (decode(entry->payload, entry->payload_len, split->buffer) < 0)
		return sl_error_set(err, SL_FAILED, "%s: a payload is not base64", split->path);
	*data = split->buffer;
	return (ssize_t)len;
}

/* The entry's name as bytes; the caller frees it. */
static char *entry_name(const struct entry *entry)
{
	if (entry->name_raw) {
		size_t len = decoded_length(entry->name, entry->name_len);
		char *name = calloc(1, len + 1);
		if (name && decode(entry->name, entry->name_len, (unsigned char *)name) < 0) {
			free(name);
			return NULL;
		}
		return name;
	}
	if (!memchr(entry->name, '\\', entry->name_len))
		return strndup(entry->name, entry->name_len);
	/* JSON's escapes; the quotes stand right before and behind */
	sl_autojson json_t *json = json_loadb(entry->name - 1, entry->name_len + 2, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	const char *text = json_string_value(json);
	return text ? strdup(text) : NULL;
}

/* Open the file inside the layer's directory, as the engine does: its own
 * symbolic links are followed, and nothing leads out of it. */
static int open_file(struct sl_tarsplit *split, const struct entry *entry, struct sl_error *err)
{
	sl_autofree char *name = entry_name(entry);
	if (!name)
		return sl_error_set(err, SL_FAILED, "%s: a name cannot be read", split->path);
	const char *relative = name + strspn(name, "/");
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, .resolve = RESOLVE_IN_ROOT };
	split->fd = (int)syscall(SYS_openat2, split->root, relative, &how, sizeof(how));
	if (split->fd < 0)
		return sl_error_errno(err, errno, "the engine's copy of '%s'", name);
	split->left = entry->size;
	return 0;
}

static ssize_t give_file(struct sl_tarsplit *split, const void **data, struct sl_error *err)
{
	size_t want = split->left < (int64_t)FILE_CHUNK ? (size_t)split->left : FILE_CHUNK;
	ssize_t n;
	do {
		n = read(split->fd, split->buffer, want);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return sl_error_errno(err, errno, "reading the engine's store");
	if (n == 0)
		return sl_error_set(err, SL_FAILED, "a file in the engine's store is shorter than it was");
	split->left -= n;
	if (!split->left) {
		close(split->fd);
		split->fd = -1;
	}
	*data = split->buffer;
	return n;
}

ssize_t sl_tarsplit_read(struct sl_tarsplit *split, const void **data, struct sl_error *err)
{
	for (;;) {
		struct entry entry;
		bool failed = false;
		if (split->fd >= 0)
			return give_file(split, data, err);
		const char *line = next_line(split, &failed, err);
		if (!line)
			return failed ? -1 : 0;
		if (parse(split, line, &entry, err) < 0)
			return -1;
		if (entry.file && entry.size && open_file(split, &entry, err) < 0)
			return -1;
		if (entry.file)
			continue;
		ssize_t n = give_segment(split, &entry, data, err);
		if (n)
			return n;
	}
}

int64_t sl_tarsplit_size(const char *path, struct sl_error *err)
{
	struct sl_tarsplit *split = sl_tarsplit_open(path, NULL, err);
	int64_t total = 0;
	bool failed = split == NULL;
	const char *line;
	while (!failed && (line = next_line(split, &failed, err))) {
		struct entry entry;
		failed = parse(split, line, &entry, err) < 0;
		total += entry.file ? entry.size : (int64_t)decoded_length(entry.payload, entry.payload_len);
	}
	sl_tarsplit_free(split);
	return failed ? -1 : total;
}
