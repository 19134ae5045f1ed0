/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/containerd.h"

#include <pwd.h>
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

/* dev.sidelift.image.HASH-OF-NAME=NAME|CONFIG|USER@HOST|TIME, on the config blob:
 * name and digest are inside, for labels may be copied. */
static char *label_for(const struct sl_image *image)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	struct sl_digest hash;
	char host[65] = "";
	sl_digest_of(image->name, strlen(image->name), &hash);
	sl_buf_printf(&text, LABEL "%.12s=%s|%s|", sl_digest_hex(&hash), image->name, image->config.text);
	const struct passwd *user = getpwuid(getuid());
	put_clean(&text, user ? user->pw_name : "uid");
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

/* Labels in a line of `ctr content ls`: LABEL…=NAME|CONFIG|WHO|WHEN,…  Append the
 * names that stand on blob @digest. */
static int names_of_labels(const char *line, struct sl_strv *names)
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
		size_t name_len = value ? strcspn(value + 1, "|,") : 0;
		if (!value || value[1 + name_len] != '|' || strncmp(value + 2 + name_len, digest.text, strlen(digest.text)) != 0)
			continue; /* copied from elsewhere */
		sl_autofree char *name = strndup(value + 1, name_len);
		if (!name || sl_strv_add_new(names, name) < 0)
			return -1;
	}
	return 0;
}

int sl_containerd_sideloaded(struct sl_target *target, struct sl_strv *names, struct sl_error *err)
{
	struct sl_containerd *self = sl_containerd_of(target);
	sl_autostrv struct sl_strv labelled = SL_STRV_INIT;
	int code = sl_session_call(&self->session, SL_CONTAINERD_ANSWER, err, "contents", "labels.\"dev.sidelift\"==\"1\"", NULL);
	if (code)
		return code < 0 ? -1 : sl_session_failed(&self->session, "listing what was loaded", code, err);
	char *save = NULL, *at = NULL;
	char *text = sl_session_section(&self->session, &at);
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (names_of_labels(line, &labelled) < 0)
			return sl_error_nomem(err);
	for (size_t i = 0; i < labelled.n; i++)
		if (sl_strv_has(&target->names, labelled.items[i]) && sl_strv_add_new(names, labelled.items[i]) < 0)
			return sl_error_nomem(err);
	return 0;
}
