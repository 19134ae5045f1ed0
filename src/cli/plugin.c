/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/plugin.h"

#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "sidelift.h"

struct renamed {
	const char *theirs, *ours;
};

static const struct renamed of_kubectl[] = { { "--context", "--kube-context" }, { NULL, NULL } };
static const struct renamed of_docker[] = {
	{ "--context", "--docker-context" }, { "-c", "--docker-context" }, { "--host", "--docker-host" }, { "-H", "--docker-host" }, { NULL, NULL },
};

/* @arg, with the name of an option replaced by ours, behind `=` as it is. */
static int add(struct sl_strv *out, const char *arg, const struct renamed *table)
{
	size_t len = strcspn(arg, "=");
	for (; table->theirs; table++) {
		if (strlen(table->theirs) != len || strncmp(arg, table->theirs, len) != 0)
			continue;
		sl_autobuf struct sl_buf text = SL_BUF_INIT;
		sl_buf_printf(&text, "%s%s", table->ours, arg + len);
		return text.failed ? -1 : sl_strv_add(out, sl_buf_text(&text));
	}
	return sl_strv_add(out, arg);
}

int sl_plugin_arguments(int argc, char **argv, struct sl_strv *out, bool *metadata)
{
	static const struct renamed none[] = { { NULL, NULL } };
	const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
	bool docker = !strcmp(name, "docker-sidelift"), kubectl = !strcmp(name, "kubectl-sidelift");
	const struct renamed *table = docker ? of_docker : kubectl ? of_kubectl : none;
	bool named = !docker; /* docker puts its own options before the plugin's name */
	*metadata = docker && argc > 1 && !strcmp(argv[1], "docker-cli-plugin-metadata");
	for (int i = 0; i < argc; i++) {
		if (!named && i && !strcmp(argv[i], "sidelift")) {
			named = true;
			table = none;
			continue;
		}
		if (kubectl && !strcmp(argv[i], "--"))
			table = none;
		if (add(out, argv[i], table) < 0)
			return -1;
	}
	return 0;
}

const char *sl_plugin_metadata(void)
{
	return "{\"SchemaVersion\":\"0.1.0\",\"Vendor\":\"sidelift\",\"Version\":\"" SIDELIFT_VERSION "\","
	       "\"ShortDescription\":\"Put images into the nodes of a local Kubernetes cluster\"}";
}
