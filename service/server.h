/* chatstored once its options and its configuration are read: the engine behind the listeners,
 * until it is told to stop. */
#ifndef CHATSTORE_SERVICE_SERVER_H
#define CHATSTORE_SERVICE_SERVER_H

#include "service/config.h"

struct server_setup {
    const struct config *config;
    const char *reload_path; /* the file that it is from; NULL: it cannot be read again, because */
    const char *why_no_reload;
    const char *const *urls; /* to listen on, beside the configuration's */
    size_t url_count;
    bool insecure_listen; /* as in the configuration, for these */
};

/* Returns the exit status of the process; it may also end the process itself, when a second signal
 * comes or the end takes too long. */
int server_run(const struct server_setup *setup);

#endif
