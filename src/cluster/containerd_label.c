/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/containerd.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"

#define LABEL "dev.sidelift.image."

/* Without what a word of a command cannot hold. */
static void put_clean(struct sl_buf *buf, const char *text)
{
	for (; *text; text++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *text))
			sl_buf_add(buf, text, 1);
}

static void put_user(struct sl_buf *text)
{
	struct passwd entry, *user = NULL;
	char strings[2048];
	bool known = getpwuid_r(getuid(), &entry, strings, sizeof(strings), &user) == 0 && user;
	put_clean(text, known ? user->pw_name : "uid");
}

/* dev.sidelift.image.HASH-OF-NAME=NAME|CONFIG|USER@HOST|TIME, on the config blob:
 * name and digest are inside, for labels may be copied. */
static char *label_for(const struct sl_image *image)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	struct sl_digest hash;
	char host[65] = "";
	sl_digest_of(image->name, strlen(image->name), &hash);
	sl_buf_printf(&text, LABEL "%.12s=%s|%s|", sl_digest_hex(&hash), image->name, image->config.text);
	put_user(&text);
	gethostname(host, sizeof(host) - 1);
	sl_buf_puts(&text, "@");
	put_clean(&text, host);
	sl_buf_printf(&text, "|%lld", (long long)time(NULL));
	return text.failed ? NULL : sl_buf_steal(&text);
}

int sl_containerd_label_words(struct sl_strv *words, bool separated, const struct sl_image *image)
{
	sl_autofree char *label = label_for(image);
	int bad = separated ? sl_strv_add(words, ";;") : 0;
	return bad | sl_strv_add(words, "label") | sl_strv_add(words, image->config.text) |
	       sl_strv_add(words, "dev.sidelift=1") | (label ? sl_strv_add(words, label) : -1);
}

void sl_containerd_release_loaded(struct sl_loaded_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->items[i].name);
		free(list->items[i].by);
	}
	free(list->items);
}

/* @value is NAME|CONFIG|WHO|WHEN, and a comma or the line's end. */
static int add_loaded(struct sl_loaded_list *list, const char *value, const struct sl_digest *config)
{
	size_t name = strcspn(value, "|,");
	if (value[name] != '|' || strncmp(value + name + 1, config->text, strlen(config->text)) != 0)
		return 0; /* copied from elsewhere */
	const char *by = value + name + 1 + strlen(config->text);
	by += *by == '|';
	size_t by_len = strcspn(by, "|,");
	struct sl_loaded *items = realloc(list->items, (list->n + 1) * sizeof(*items));
	if (!items)
		return -1;
	list->items = items;
	struct sl_loaded *item = &items[list->n++];
	*item = (struct sl_loaded){ .name = strndup(value, name), .by = strndup(by, by_len), .config = *config };
	item->at = by[by_len] == '|' ? strtoll(by + by_len + 1, NULL, 10) : 0;
	return item->name && item->by ? 0 : -1;
}

/* DIGEST SIZE AGE LABEL…=NAME|CONFIG|WHO|WHEN,… */
int sl_containerd_take_labels(const char *line, struct sl_loaded_list *list)
{
	struct sl_digest digest;
	char first[SL_DIGEST_MAX] = "";
	size_t len = strcspn(line, " \t");
	if (len >= sizeof(first))
		return 0;
	memcpy(first, line, len);
	if (!sl_digest_parse(first, &digest))
		return 0;
	for (const char *at = line; (at = strstr(at, LABEL)); at++) {
		const char *value = strchr(at, '=');
		if (value && add_loaded(list, value + 1, &digest) < 0)
			return -1;
	}
	return 0;
}

/* Of @list, the names that stand for the config that they were loaded for. */
static int keep_current(struct sl_containerd *self, const struct sl_loaded_list *list, struct sl_strv *names,
			struct sl_error *err)
{
	sl_autostrv struct sl_strv words = SL_STRV_INIT;
	char filter[512];
	int bad = sl_strv_add(&words, "records");
	for (size_t i = 0; i < list->n; i++) {
		snprintf(filter, sizeof(filter), "name==\"%s\"", list->items[i].name);
		bad |= sl_strv_add_new(&words, filter);
	}
	if (bad)
		return sl_error_nomem(err);
	int code = sl_session_callv(&self->session, SL_CONTAINERD_ANSWER, (const char *const *)words.items, words.n, err);
	if (code)
		return code < 0 ? -1 : sl_session_failed(&self->session, "asking what the names stand for", code, err);
	char *at = NULL, *section = sl_session_section(&self->session, &at);
	if (!section || sl_containerd_set_records(self, section, err) < 0)
		return -1;
	while ((section = sl_session_section(&self->session, &at)))
		sl_containerd_take_manifest(self, section);
	for (size_t i = 0; i < list->n; i++) {
		const struct sl_record *record = sl_containerd_record(self, list->items[i].name);
		if (record && sl_digest_equal(&record->config, &list->items[i].config) &&
		    sl_strv_add_new(names, list->items[i].name) < 0)
			return sl_error_nomem(err);
	}
	return 0;
}

int sl_containerd_sideloaded(struct sl_target *target, struct sl_strv *names, struct sl_error *err)
{
	struct sl_containerd *self = sl_containerd_of(target);
	int code = sl_session_call(&self->session, SL_CONTAINERD_ANSWER, err, "contents", "labels.\"dev.sidelift\"==\"1\"", NULL);
	if (code)
		return code < 0 ? -1 : sl_session_failed(&self->session, "listing what was loaded", code, err);
	struct sl_loaded_list list = { 0 };
	char *save = NULL, *at = NULL;
	char *text = sl_session_section(&self->session, &at);
	int rc = 0;
	for (char *line = strtok_r(text, "\n", &save); line && rc == 0; line = strtok_r(NULL, "\n", &save))
		rc = sl_containerd_take_labels(line, &list) < 0 ? sl_error_nomem(err) : 0;
	if (rc == 0 && list.n)
		rc = keep_current(self, &list, names, err);
	sl_containerd_release_loaded(&list);
	return rc;
}
