/* The pool knows no other room but proto. */
#include "proto/call.h"
#include "router/router.h"    /* tidy: include-direction */
#include "service/dispatch.h" /* tidy: include-direction */
#include <sqlite3.h>
