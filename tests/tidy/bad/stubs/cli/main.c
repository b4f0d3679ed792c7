/* The command line tool may serve files itself, by this door only. */
#include "service/embedded.h"
#include "service/server.h" /* tidy: include-direction */
