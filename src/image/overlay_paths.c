/* SPDX-License-Identifier: Apache-2.0 */
#include "image/overlay_paths.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* As containerd's fs.RootPath. */
#define LINKS_MAX 255
#define FIRST_SIZE 1024

struct sl_paths_slot {
	uint64_t key;  /* hash of the path; 0: free */
	uint64_t what; /* value << 3 | enum sl_made */
};

int sl_paths_init(struct sl_paths *paths)
{
	*paths = (struct sl_paths){ .arena = { .max = SL_PATHS_ARENA } };
	paths->hash = sl_sha256_new();
	paths->slots = calloc(FIRST_SIZE, sizeof(*paths->slots));
	paths->size = FIRST_SIZE;
	return paths->hash && paths->slots && getrandom(paths->key, sizeof(paths->key), 0) == sizeof(paths->key) ? 0 : -1;
}

void sl_paths_release(struct sl_paths *paths)
{
	sl_sha256_free(paths->hash);
	free(paths->slots);
	sl_buf_release(&paths->arena);
}

/* Unforeseeable, or a hostile layer could make two paths look like one. */
static uint64_t key_of(struct sl_paths *paths, const char *path)
{
	char hex[SL_SHA256_HEX + 1];
	sl_sha256_update(paths->hash, paths->key, sizeof(paths->key));
	sl_sha256_update(paths->hash, path, strlen(path));
	sl_sha256_final(paths->hash, hex);
	hex[16] = '\0';
	uint64_t key = strtoull(hex, NULL, 16);
	return key ? key : 1;
}

static struct sl_paths_slot *slot_of(const struct sl_paths *paths, uint64_t key)
{
	size_t i = key & (paths->size - 1);
	while (paths->slots[i].key && paths->slots[i].key != key)
		i = (i + 1) & (paths->size - 1);
	return &paths->slots[i];
}

enum sl_made sl_paths_get(struct sl_paths *paths, const char *path, uint64_t *value)
{
	const struct sl_paths_slot *slot = slot_of(paths, key_of(paths, path));
	if (!*path)
		return SL_MADE_DIRECTORY;
	if (value)
		*value = slot->what >> 3;
	return slot->key ? (enum sl_made)(slot->what & 7) : SL_MADE_NOTHING;
}

static int grow(struct sl_paths *paths)
{
	struct sl_paths_slot *old = paths->slots;
	size_t size = paths->size;
	struct sl_paths_slot *slots = calloc(size * 2, sizeof(*slots));
	if (!slots)
		return -1;
	paths->slots = slots;
	paths->size = size * 2;
	for (size_t i = 0; i < size; i++)
		if (old[i].key)
			*slot_of(paths, old[i].key) = old[i];
	free(old);
	return 0;
}

int sl_paths_put(struct sl_paths *paths, const char *path, enum sl_made made, uint64_t value)
{
	if (paths->n >= SL_PATHS_MAX || (paths->n * 3 > paths->size * 2 && grow(paths) < 0))
		return -1;
	uint64_t key = key_of(paths, path);
	struct sl_paths_slot *slot = slot_of(paths, key);
	paths->n += !slot->key;
	*slot = (struct sl_paths_slot){ key, value << 3 | made };
	return 0;
}

int sl_paths_keep(struct sl_paths *paths, const void *data, size_t len, uint64_t *at)
{
	*at = paths->arena.len;
	return sl_buf_add(&paths->arena, data, len);
}

/* Append one component to the clean @path; "." and ".." work at the root, too. */
static int step(char path[SL_PATH_LEN], const char *component, size_t len)
{
	size_t at = strlen(path);
	if (len == 0 || (len == 1 && component[0] == '.'))
		return 0;
	if (len == 2 && component[0] == '.' && component[1] == '.') {
		char *slash = strrchr(path, '/');
		*(slash ? slash : path) = '\0';
		return 0;
	}
	if (at + 1 + len >= SL_PATH_LEN)
		return -1;
	if (at)
		path[at++] = '/';
	memcpy(path + at, component, len);
	path[at + len] = '\0';
	return 0;
}

int sl_paths_clean(const char *name, char out[SL_PATH_LEN])
{
	*out = '\0';
	for (size_t len; *name; name += len + (name[len] == '/')) {
		len = strcspn(name, "/");
		if (step(out, name, len) < 0)
			return -1;
	}
	return 0;
}

int sl_paths_resolve(struct sl_paths *paths, const char *name, char out[SL_PATH_LEN])
{
	char rest[SL_PATH_LEN], longer[SL_PATH_LEN];
	size_t links = 0;
	if (strlen(name) >= sizeof(rest))
		return -1;
	strcpy(rest, name);
	*out = '\0';
	for (char *at = rest; *at;) {
		size_t len = strcspn(at, "/");
		size_t before = strlen(out);
		uint64_t value;
		if (step(out, at, len) < 0)
			return -1;
		at += len + (at[len] == '/');
		if (strlen(out) <= before || sl_paths_get(paths, out, &value) != SL_MADE_SYMLINK)
			continue;
		const char *target = paths->arena.data + value + sizeof(uint64_t);
		if (++links > LINKS_MAX || strlen(target) + 1 + strlen(at) >= sizeof(longer))
			return -1;
		strcpy(longer, target);
		strcat(longer, "/");
		strcat(longer, at);
		strcpy(rest, longer);
		at = rest;
		out[*rest == '/' ? 0 : before] = '\0';
	}
	return 0;
}
