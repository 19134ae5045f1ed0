/* SPDX-License-Identifier: Apache-2.0 */
#include "image/layerdb.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"

static char *layer_path(const char *root, const char *chain, const char *file, struct sl_error *err)
{
	char *path;
	if (asprintf(&path, "%s/image/overlay2/layerdb/sha256/%s/%s", root, chain, file) >= 0)
		return path;
	sl_error_nomem(err);
	return NULL;
}

static int read_small(const char *root, const char *chain, const char *file, struct sl_buf *text, struct sl_error *err)
{
	sl_autofree char *path = layer_path(root, chain, file, err);
	text->max = 4096;
	return path ? sl_file_read(path, text, err) : -1;
}

int sl_layerdb_config(const char *root, const char *config, struct sl_buf *text, struct sl_error *err)
{
	sl_autofree char *path = NULL;
	if (asprintf(&path, "%s/image/overlay2/imagedb/content/sha256/%s", root, config) < 0) {
		path = NULL;
		return sl_error_nomem(err);
	}
	return sl_file_read(path, text, err);
}

int sl_layerdb_look(const char *root, const char *chain, char diff_id[80], int64_t *size, struct sl_error *err)
{
	sl_autobuf struct sl_buf diff = SL_BUF_INIT;
	sl_autofree char *split = layer_path(root, chain, "tar-split.json.gz", err);
	if (!split || read_small(root, chain, "diff", &diff, err) < 0)
		return -1;
	snprintf(diff_id, 80, "%s", sl_buf_text(&diff));
	*size = sl_tarsplit_size(split, err);
	return *size < 0 ? -1 : 0;
}

struct sl_tarsplit *sl_layerdb_open(const char *root, const char *chain, struct sl_error *err)
{
	sl_autobuf struct sl_buf cache_id = SL_BUF_INIT;
	sl_autofree char *path = layer_path(root, chain, "tar-split.json.gz", err), *files = NULL;
	if (!path || read_small(root, chain, "cache-id", &cache_id, err) < 0)
		return NULL;
	if (!cache_id.len || strspn(cache_id.data, "0123456789abcdef-") != cache_id.len) {
		sl_error_set(err, SL_FAILED, "the engine's store names an impossible cache-id");
		return NULL;
	}
	if (asprintf(&files, "%s/overlay2/%s/diff", root, cache_id.data) < 0) {
		files = NULL;
		sl_error_nomem(err);
		return NULL;
	}
	return sl_tarsplit_open(path, files, err);
}
