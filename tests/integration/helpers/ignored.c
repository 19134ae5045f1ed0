/* SPDX-License-Identifier: Apache-2.0 */
/* ignored FILE <PATHS: those that the .dockerignore FILE does not leave out. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "flow/dockerignore.h"

int main(int argc, char **argv)
{
	struct sl_error err = SL_ERROR_INIT;
	struct sl_buf text = SL_BUF_INIT;
	struct sl_ignore ignore;
	char path[1000];
	if (argc != 2 || sl_file_read(argv[1], &text, &err) < 0 || sl_ignore_parse(sl_buf_text(&text), text.len, &ignore, &err) < 0) {
		fprintf(stderr, "%s\n", err.message);
		return 1;
	}
	while (fgets(path, sizeof(path), stdin)) {
		path[strcspn(path, "\n")] = '\0';
		if (!sl_ignore_matches(&ignore, path))
			puts(path);
	}
	sl_ignore_release(&ignore);
	sl_buf_release(&text);
	return 0;
}
