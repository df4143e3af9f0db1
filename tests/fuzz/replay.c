/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzzer over what is kept: every file of the folder that is named, once.
 *
 * In builds without libFuzzer; so every fuzzer compiles with every compiler, and an input that
 * once found something is looked at in every run of the tests.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int is_input(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

/* The whole of a file, of which the caller is the owner; without a byte behind it, so that a sanitizer sees reads
 * past the end. */
static uint8_t *slurp(const char *path, size_t *size)
{
	uint8_t *data = NULL;
	FILE *f = fopen(path, "rb");
	long len;

	if (!f)
		return NULL;
	if (fseek(f, 0, SEEK_END) == 0 && (len = ftell(f)) >= 0) {
		rewind(f);
		*size = (size_t)len;
		data = malloc(*size ? *size : 1);
		if (data && fread(data, 1, *size, f) != *size) {
			free(data);
			data = NULL;
		}
	}
	fclose(f);
	return data;
}

static int replay(const char *folder, const char *name)
{
	char path[4096];
	uint8_t *data;
	size_t size = 0;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	data = slurp(path, &size);
	if (!data) {
		perror(path);
		return -1;
	}
	fprintf(stderr, "%s\n", name); /* whose turn it was when it crashed */
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	struct dirent **inputs;
	int cnt, ret = EXIT_SUCCESS;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	cnt = scandir(argv[1], &inputs, is_input, alphasort);
	if (cnt <= 0) {
		fprintf(stderr, "%s: %s\n", argv[1], cnt ? "cannot be read" : "no input in it");
		return EXIT_FAILURE;
	}
	for (int i = 0; i < cnt; i++) {
		if (replay(argv[1], inputs[i]->d_name) < 0)
			ret = EXIT_FAILURE;
		free(inputs[i]);
	}
	free(inputs);
	return ret;
}
