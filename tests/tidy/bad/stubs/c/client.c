/* A client links nothing of the server. */
#include "service/embedded.h" /* tidy: include-direction */
#include "status.h"           /* tidy: include-direction */
