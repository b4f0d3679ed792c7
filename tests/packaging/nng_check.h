/* Proves that the nng that the build found carries what chatstore stands on. */
#ifndef CHATSTORE_TESTS_PACKAGING_NNG_CHECK_H
#define CHATSTORE_TESTS_PACKAGING_NNG_CHECK_H

/* Sends one request over a unix socket and takes its reply, sets up TLS 1.3 and a SHA-512.
 * Returns 0, or 1 after printing what failed to standard error. Any thread; once at a time. */
__attribute__((visibility("default"))) int nng_check_run(void);

#endif
