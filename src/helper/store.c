/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store exporter's hands where its own may not reach: a static program in a
 * container of the engine's, with the engine's store mounted read-only
 * (engine/store_helper.c).  Commands on standard input, a line each; answers on
 * standard output:
 *
 *	config HEX     "LENGTH\n" and the config
 *	look HEX       "DIFF-ID SIZE\n", of the layer with that chain ID
 *	layer HEX      "0\n", then its tar in pieces "LENGTH\n" and bytes, and "0\n"
 *
 * or, instead of the first number, "! MESSAGE\n".  A layer that breaks off in the
 * middle ends with "! MESSAGE\n" in the place of a piece.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "image/layerdb.h"

/* Seconds without a command, or without anybody who takes an answer, after which
 * nobody is there any more: usually standard input ends, but that is the engine's to
 * see to. */
#define PATIENCE 300

static void give_up(int signal)
{
	_exit(1); /* process 1 of a container ignores what it does not handle */
}

static void refuse(const struct sl_error *err)
{
	printf("! %s\n", err->message);
}

static void put(const void *data, size_t len)
{
	alarm(PATIENCE);
	printf("%zu\n", len);
	fwrite(data, 1, len, stdout);
}

static void config(const char *root, const char *hex)
{
	sl_autobuf struct sl_buf text = SL_BUF_INIT;
	struct sl_error err = SL_ERROR_INIT;
	text.max = (size_t)8 << 20;
	if (sl_layerdb_config(root, hex, &text, &err) < 0)
		refuse(&err);
	else
		put(sl_buf_text(&text), text.len);
}

static void look(const char *root, const char *hex)
{
	struct sl_error err = SL_ERROR_INIT;
	char diff_id[80];
	int64_t size;
	if (sl_layerdb_look(root, hex, diff_id, &size, &err) < 0)
		refuse(&err);
	else
		printf("%s %lld\n", diff_id, (long long)size);
}

static void layer(const char *root, const char *hex)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_tarsplit *split = sl_layerdb_open(root, hex, &err);
	const void *data;
	ssize_t n = -1;
	if (split)
		puts("0");
	while (split && (n = sl_tarsplit_read(split, &data, &err)) > 0)
		put(data, (size_t)n);
	if (n < 0)
		refuse(&err);
	else
		puts("0");
	sl_tarsplit_free(split);
}

int main(int argc, char **argv)
{
	static char buffer[256 << 10];
	char line[128], command[16], hex[65];
	if (argc != 2) {
		fputs("usage: sidelift-helper ROOT\n", stderr);
		return 2;
	}
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	signal(SIGALRM, give_up);
	alarm(PATIENCE);
	while (fgets(line, sizeof(line), stdin)) {
		alarm(PATIENCE);
		if (sscanf(line, "%15s %64[0-9a-f]", command, hex) != 2 || strlen(hex) != 64)
			puts("! that is no command");
		else if (!strcmp(command, "config"))
			config(argv[1], hex);
		else if (!strcmp(command, "look"))
			look(argv[1], hex);
		else if (!strcmp(command, "layer"))
			layer(argv[1], hex);
		else
			puts("! that is no command");
		if (fflush(stdout) != 0)
			return 1;
	}
	return 0;
}
