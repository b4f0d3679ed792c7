/* Bare connections to an nng listener, without nng: to learn who listens, and to be there idle. */
#ifndef CHATSTORE_BENCH_CONNECT_H
#define CHATSTORE_BENCH_CONNECT_H

#ifdef __cplusplus
extern "C" {
#endif

/* A connected socket to "ipc:///path" or "tcp://host:port"; -1 with errno. Blocks. */
int connect_url(const char *url);

/* Greet as an nng REQ socket does and wait for the answer: the server has a pipe then. 0, or an
 * error of errno. Blocks for at most 5 s. */
int connect_greet(int fd);

#ifdef __cplusplus
}
#endif

#endif
