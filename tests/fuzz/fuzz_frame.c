/* Any bytes as a frame, through the whole engine. */
#include "host.h"

enum { INPUTS_PER_ENGINE = 1000 };

static const char config[] = "[database]\ndefault = \"one\"\n"
                             "[database.sources]\n"
                             "one = { path = \":memory:\" }\n"
                             "two = { path = \":memory:\" }\n"
                             "[database.chatMapping]\n-2000 = \"two\"\n"
                             "[service.limits]\ntimeout_ms = 2000\nreply_bytes = 1048576\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned inputs;

    /* What inputs leave behind is kept for a while, but not for ever: it slows down. */
    if (inputs++ % INPUTS_PER_ENGINE == 0) {
        if (inputs > 1)
            host_close();
        host_open(config, host_folder());
    }
    host_run(data, size, false);
    return 0;
}
