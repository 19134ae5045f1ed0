/* SPDX-License-Identifier: Apache-2.0 */
#include "image/reference.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define DEFAULT_DOMAIN "docker.io"
#define LEGACY_DOMAIN "index.docker.io"
#define OFFICIAL_PREFIX "library/"
#define DEFAULT_TAG "latest"

#define PATH_MAX_LENGTH 255 /* RepositoryNameTotalLengthMax: of the path, without the domain */
#define TAG_MAX_LENGTH 128

/* Plain ASCII: <ctype.h> would ask the locale. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_alnum(char c)
{
	return is_digit(c) || is_lower(c) || is_upper(c);
}

static bool is_lower_hex(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_digit(s[i]) && (s[i] < 'a' || s[i] > 'f'))
			return false;
	return true;
}

static bool has_upper(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (is_upper(s[i]))
			return true;
	return false;
}

/* Whether the @len bytes before the first slash are a domain, not a path. */
static bool names_domain(const char *s, size_t len)
{
	return (len == strlen("localhost") && !memcmp(s, "localhost", len)) || memchr(s, '.', len) ||
	       memchr(s, ':', len) || has_upper(s, len);
}

/* Letters, digits and inner hyphens. */
static bool valid_domain_label(const char *s, size_t len)
{
	if (!len || s[0] == '-' || s[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(s[i]) && s[i] != '-')
			return false;
	return true;
}

static bool valid_ipv6(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_digit(s[i]) && !((s[i] | 0x20) >= 'a' && (s[i] | 0x20) <= 'f') && s[i] != ':')
			return false;
	return len > 0;
}

static bool valid_port(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_digit(s[i]))
			return false;
	return len > 0;
}

static bool valid_host(const char *s, size_t len)
{
	if (len > 2 && s[0] == '[' && s[len - 1] == ']')
		return valid_ipv6(s + 1, len - 2);
	for (;;) {
		const char *dot = memchr(s, '.', len);
		size_t label = dot ? (size_t)(dot - s) : len;
		if (!valid_domain_label(s, label))
			return false;
		if (!dot)
			return true;
		s += label + 1;
		len -= label + 1;
	}
}

static bool valid_domain(const char *s, size_t len)
{
	const char *colon = memrchr(s, ':', len);
	/* the last colon of a bare IPv6 address is inside its brackets */
	if (!colon || (len && s[len - 1] == ']'))
		return valid_host(s, len);
	return valid_host(s, (size_t)(colon - s)) && valid_port(colon + 1, len - (size_t)(colon + 1 - s));
}

/* How many bytes at @s separate two runs of letters and digits: one dot, one or
 * two underscores, or any number of hyphens. */
static size_t separator_length(const char *s, size_t len)
{
	if (!len)
		return 0;
	if (s[0] == '.')
		return 1;
	if (s[0] == '_')
		return len > 1 && s[1] == '_' ? 2 : 1;
	size_t n = 0;
	while (n < len && s[n] == '-')
		n++;
	return n;
}

static bool valid_component(const char *s, size_t len)
{
	for (;;) {
		size_t run = 0;
		while (run < len && (is_digit(s[run]) || is_lower(s[run])))
			run++;
		if (!run)
			return false;
		s += run;
		len -= run;
		if (!len)
			return true;
		size_t gap = separator_length(s, len);
		if (!gap)
			return false;
		s += gap;
		len -= gap;
	}
}

static bool valid_path(const char *s, size_t len)
{
	for (;;) {
		const char *slash = memchr(s, '/', len);
		size_t component = slash ? (size_t)(slash - s) : len;
		if (!valid_component(s, component))
			return false;
		if (!slash)
			return true;
		s += component + 1;
		len -= component + 1;
	}
}

static bool valid_tag(const char *s)
{
	size_t len = strlen(s);
	if (!len || len > TAG_MAX_LENGTH || s[0] == '.' || s[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_alnum(s[i]) && !strchr("_.-", s[i]))
			return false;
	return true;
}

static bool valid_digest(const char *s)
{
	static const struct {
		const char *prefix;
		size_t hex;
	} algorithms[] = { { "sha256:", 64 }, { "sha384:", 96 }, { "sha512:", 128 } };

	for (size_t i = 0; i < sizeof(algorithms) / sizeof(*algorithms); i++) {
		size_t prefix = strlen(algorithms[i].prefix);
		if (!strncmp(s, algorithms[i].prefix, prefix))
			return strlen(s + prefix) == algorithms[i].hex && is_lower_hex(s + prefix, algorithms[i].hex);
	}
	return false;
}

/* Check the pieces of @text: a path of @path_len bytes at @path and, unless
 * NULL, its domain (@domain_len bytes), tag and digest. */
static int check(const char *text, const char *domain, size_t domain_len, const char *path, size_t path_len,
		 const char *tag, const char *digest, struct sl_error *err)
{
	if (digest && !valid_digest(digest))
		return sl_error_set(err, SL_USAGE, "image name '%s': '%s' is not a digest (sha256: and 64 hex digits)",
				    text, digest);
	if (tag && !valid_tag(tag))
		return sl_error_set(err, SL_USAGE,
				    "image name '%s': '%s' is not a tag (up to 128 letters, digits, '_', '.', '-')", text,
				    tag);
	if (domain && !valid_domain(domain, domain_len))
		return sl_error_set(err, SL_USAGE, "image name '%s': '%.*s' is not a registry host", text,
				    (int)domain_len, domain);
	if (has_upper(path, path_len))
		return sl_error_set(err, SL_USAGE, "image name '%s': the repository '%.*s' must be lower case", text,
				    (int)path_len, path);
	if (!valid_path(path, path_len))
		return sl_error_set(err, SL_USAGE, "image name '%s': '%.*s' is not a repository name", text,
				    (int)path_len, path);
	return 0;
}

/* Cut @text, a copy that this writes NULs into, into @out and check it. */
static int parse(const char *text, char *copy, struct sl_reference *out, struct sl_error *err)
{
	char *digest = strchr(copy, '@');
	if (digest)
		*digest++ = '\0';
	char *slash = strchr(copy, '/');
	const char *domain = slash && names_domain(copy, (size_t)(slash - copy)) ? copy : NULL;
	size_t domain_len = domain ? (size_t)(slash - copy) : 0;
	char *path = domain ? slash + 1 : copy;
	char *tag = strchr(path, ':');
	if (tag)
		*tag++ = '\0';
	size_t path_len = strlen(path);
	if (check(text, domain, domain_len, path, path_len, tag, digest, err) < 0)
		return -1;

	bool hub = !domain || (domain_len == strlen(DEFAULT_DOMAIN) && !memcmp(domain, DEFAULT_DOMAIN, domain_len)) ||
		   (domain_len == strlen(LEGACY_DOMAIN) && !memcmp(domain, LEGACY_DOMAIN, domain_len));
	const char *official = hub && !strchr(path, '/') ? OFFICIAL_PREFIX : "";
	if (strlen(official) + path_len > PATH_MAX_LENGTH)
		return sl_error_set(err, SL_USAGE, "image name '%s': longer than %d characters", text, PATH_MAX_LENGTH);
	int printed = hub ? asprintf(&out->name, DEFAULT_DOMAIN "/%s%s", official, path) :
			    asprintf(&out->name, "%.*s/%s", (int)domain_len, domain, path);
	if (printed < 0) {
		out->name = NULL;
		return sl_error_nomem(err);
	}
	const char *meant = tag || digest ? tag : DEFAULT_TAG;
	if ((meant && !(out->tag = strdup(meant))) || (digest && !(out->digest = strdup(digest))))
		return sl_error_nomem(err);
	return 0;
}

int sl_reference_parse(const char *text, struct sl_reference *out, struct sl_error *err)
{
	*out = (struct sl_reference)SL_REFERENCE_INIT;
	if (!*text)
		return sl_error_set(err, SL_USAGE, "the image name is empty");
	if (strstr(text, "://"))
		return sl_error_set(err, SL_USAGE, "image name '%s': an image name has no 'scheme://', leave it out", text);
	/* docker takes such a text for an image ID */
	if (strlen(text) == 64 && is_lower_hex(text, 64))
		return sl_error_set(err, SL_USAGE, "image name '%s': 64 hex digits are an image ID, not a name", text);
	sl_autofree char *copy = strdup(text);
	if (!copy)
		return sl_error_nomem(err);
	int failed = parse(text, copy, out, err);
	if (failed)
		sl_reference_release(out);
	return failed;
}

void sl_reference_release(struct sl_reference *ref)
{
	free(ref->name);
	free(ref->tag);
	free(ref->digest);
	*ref = (struct sl_reference)SL_REFERENCE_INIT;
}

static char *spell(const struct sl_reference *ref, const char *name)
{
	char *text;
	int printed = ref->digest ? asprintf(&text, "%s@%s", name, ref->digest) :
				    asprintf(&text, "%s:%s", name, ref->tag);
	return printed < 0 ? NULL : text;
}

char *sl_reference_canonical(const struct sl_reference *ref)
{
	return spell(ref, ref->name);
}

int sl_reference_add(struct sl_strv *references, const char *text, struct sl_error *err)
{
	sl_autoref struct sl_reference reference = SL_REFERENCE_INIT;
	if (sl_reference_parse(text, &reference, err) < 0)
		return -1;
	sl_autofree char *canonical = sl_reference_canonical(&reference);
	return canonical && sl_strv_add_new(references, canonical) == 0 ? 0 : sl_error_nomem(err);
}

char *sl_reference_familiar(const struct sl_reference *ref)
{
	const char *name = ref->name;
	if (!strncmp(name, DEFAULT_DOMAIN "/", strlen(DEFAULT_DOMAIN "/"))) {
		const char *path = name + strlen(DEFAULT_DOMAIN "/");
		const char *official = path + strlen(OFFICIAL_PREFIX);
		const char *slash = strchr(path, '/');
		if (!strncmp(path, OFFICIAL_PREFIX, strlen(OFFICIAL_PREFIX)) && !strchr(official, '/'))
			name = official;
		else if (slash && !names_domain(path, (size_t)(slash - path)))
			name = path; /* "docker.io/localhost/x" must keep its domain */
	}
	return spell(ref, name);
}

bool sl_reference_equal(const struct sl_reference *a, const struct sl_reference *b)
{
	if (strcmp(a->name, b->name) != 0 || !a->digest != !b->digest)
		return false;
	return a->digest ? !strcmp(a->digest, b->digest) : !strcmp(a->tag, b->tag);
}
