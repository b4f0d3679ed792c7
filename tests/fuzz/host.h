/* The engine in this process, for the fuzz targets: frames go in as bytes, replies are looked at.
 * One at a time; whatever is wrong ends the program by abort(), which is what a fuzzer looks for.
 */
#ifndef CHATSTORE_TESTS_FUZZ_HOST_H
#define CHATSTORE_TESTS_FUZZ_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* libFuzzer's entry, of which each target has one. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Open an engine with this configuration; a relative path in it begins in the folder. */
void host_open(const char *toml, const char *folder);
void host_close(void);

/* Run a frame and judge its reply: it can be read, has a result for each call or one for the whole
 * frame, with known statuses and texts that are UTF-8, and answers that are of their call. With
 * `is_ours` the frame is one that a client of ours might send: nothing may fail for reasons inside
 * of the server, or of a source that is well. */
void host_run(const uint8_t *frame, size_t size, bool is_ours);

/* A fresh folder of this process, in $TMPDIR, else in memory where there is /dev/shm; removed at an
 * orderly exit, which libFuzzer does not have. */
const char *host_folder(void);

#endif
