/* The engine in the caller's process is a transport of the client, and knows no more of it. */
#include "stubs/c/run.h" /* tidy: include-direction */
#include "stubs/c/transport.h"
