/* nng and SQLite have their own doors. */
#include "pool/source.h"
#include "router/router.h"
#include "stubs/c/client.h" /* tidy: include-direction */
#include "tests/helper.h"   /* tidy: include-direction */
#include <nng/nng.h>        /* tidy: library-include */
#include <sqlite3.h>        /* tidy: library-include */
